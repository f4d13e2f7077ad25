// The keys of the section augment: how training batches differ from the records.
// docs/augmentation.md says more.
#include "trainer/config_fields.h"

namespace cardiograd {

std::vector<ConfigField> augment_fields() {
  using C = RunConfig;
  using Slot = ConfigSlot;
  const auto number = [](const char* name, const char* meaning, auto C::Augment::*member,
                         double least, double most) {
    return ConfigField{std::string("augment.") + name,
                       meaning,
                       [member](C& c) -> Slot { return &(c.augment.*member); },
                       {},
                       least,
                       most};
  };
  using A = C::Augment;
  return {
      number("noise", "white noise, in standard deviations of each lead; the seed: 0.01", &A::noise,
             0, 100),
      number("mask", "probability that windows of a record become 0; the seed: 0.3", &A::mask, 0,
             1),
      number("mask_share", "probability that a window starts, times the samples of the widest",
             &A::mask_share, 0, 1),
      number("mask_shortest", "narrowest window in seconds", &A::mask_shortest, 0, 10),
      number("mask_longest", "widest window in seconds", &A::mask_longest, 0.002, 10),
      number("amplitude", "probability that a record is scaled", &A::amplitude, 0, 1),
      number("amplitude_low", "smallest factor", &A::amplitude_low, 0, 100),
      number("amplitude_high", "largest factor", &A::amplitude_high, 0, 100),
      number("wander", "probability of baseline wander, three sines of 0.05 to 0.5 Hz", &A::wander,
             0, 1),
      number("wander_mv", "its largest amplitude in mV", &A::wander_mv, 0, 100),
      number("hum", "probability of mains hum", &A::hum, 0, 1),
      number("hum_mv", "its largest amplitude in mV", &A::hum_mv, 0, 100),
      number("hum_hz", "50 or 60; at data.rate 100 these fold to 50 and 40 Hz", &A::hum_hz, 50, 60),
      number("lead_dropout", "probability for each lead to become 0; one always stays",
             &A::lead_dropout, 0, 1),
      number("crop", "seconds of a random window; evaluation sees the centre one; 0: whole records",
             &A::crop, 0, 10),
      number("shift", "probability that a record moves in time, zeros moving in", &A::shift, 0, 1),
      number("shift_seconds", "farthest move either way", &A::shift_seconds, 0, 10),
      number("mixup", "alpha of mixup with another training record; 0: off", &A::mixup, 0, 100),
      {"augment.copies_of",
       "class of which training gets extra copies, between the least and the greatest lack of "
       "records against another class",
       [](C& c) -> Slot { return &c.augment.copies_of; }},
      {"augment.only_copies", "augment those copies alone",
       [](C& c) -> Slot { return &c.augment.only_copies; }},
  };
}

}  // namespace cardiograd
