// Augmentation of ECG records while they are gathered: what there is, in which order, and where
// every random number comes from. A backend writes the values; the decisions are here, in integers
// and basic double arithmetic, so that every device takes the same ones.
//
// Order: crop and time shift choose the samples; amplitude scaling; mixup adds the partner's share;
// baseline wander and mains hum; noise; lead dropout; masking. Amplitudes are in mV also where the
// output is standardised. A sample that is missing (in both records, with mixup), shifted in, in a
// dropped lead or masked becomes GatherSpec::missing, in output units, and nothing is added to it.
//
// Draws: RandomKey{seed, epoch, operation}.draw(key of the record, block), one operation an
// augmentation (AugmentDraw), so that switching one on does not change another's draws, and neither
// do batch, order or rank. u(word) is Philox::uniform(word); "of n" is word * n / 2^32, rounded
// down.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "kernels/philox.h"

namespace cardiograd {

// The operations' numbers, apart from those of the forward pass, which count from 0.
enum class AugmentDraw : std::uint32_t {
  crop = 0x80000000U,           // block 0: start (word 0) and partner's start (1), of L - Lo + 1
  shift = 0x80000001U,          // block 0: u(0) < shift: samples (1), partner: (2) and (3)
  mixup_partner = 0x80000002U,  // block 0, word 0: of the candidates
  mixup_share = 0x80000003U,    // Beta(alpha, alpha): blocks as its rejections need them
  amplitude = 0x80000004U,      // block 0: u(0) < amplitude: factor u(1)
  wander = 0x80000005U,         // block 0: u(0) < wander: mV u(1); 1: frequencies; 2: phases;
                                // 3 + lead / 4, word lead % 4: the lead's part
  hum = 0x80000006U,            // block 0: u(0) < hum: mV u(1), phase (2); 1 + lead / 4: the part
  noise = 0x80000007U,          // block 64 g + i: elements 256 g + i + 0, 64, 128, 192 of [Lo, C]
  lead_dropout = 0x80000008U,   // block lead / 4, word lead % 4; block 2^31: the lead to be kept
  mask = 0x80000009U,           // block 0: u(0) < mask
  mask_start = 0x8000000aU,     // block t / 4, word t % 4: does a window start at sample t
  mask_width = 0x8000000bU,     // block t, word 0: its width
};

// Everything is off by default.
struct AugmentSpec {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::int32_t first_key = 0;  // records with a smaller key are gathered as they are
  double rate = 100.0;         // Hz

  // Crop: a window of the output's length, its start uniform; otherwise the centre one.
  bool crop = false;
  // Time shift: with this probability, a whole number of samples uniform in -most .. most; positive
  // is later. What moves in from outside of the crop is missing.
  double shift = 0.0;
  std::int64_t shift_most = 0;
  // Amplitude scaling: with this probability, all leads (of both records, with mixup) times one
  // factor uniform in [low, high).
  double amplitude = 0.0;
  double amplitude_low = 1.0;
  double amplitude_high = 1.0;
  // Baseline wander: with this probability, the mean of three sines of 0.05 to 0.5 Hz, times an
  // amplitude uniform in [0, mV), times a part of each lead's own uniform in [-1, 1).
  double wander = 0.0;
  double wander_mv = 0.0;
  // Mains hum: the same with one sine of hum_hz, as sampling finds it: at 100 Hz, 50 Hz alternates
  // between two values and 60 Hz looks like 40 Hz.
  double hum = 0.0;
  double hum_mv = 0.0;
  double hum_hz = 50.0;
  // Gaussian noise of this many times the population standard deviation that the record's lead has
  // over the crop (missing samples left out; times the amplitude's factor). With mixup the
  // variances of both records, weighted as their noises would be.
  double noise = 0.0;
  // Lead dropout: the probability for each lead; where all would go, one drawn among them stays.
  double lead_dropout = 0.0;
  // Masking: a record with this probability; then a window, over all leads, starts at each sample
  // with probability mask_share / mask_longest, of a width in samples uniform in shortest ..
  // longest, cut at the end.
  double mask = 0.0;
  double mask_share = 0.15;
  std::int64_t mask_shortest = 8;
  std::int64_t mask_longest = 18;
  // Mixup (Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018): alpha. The
  // partner and its share are drawn by draw_mixup and given to gather_records as operands.
  double mixup = 0.0;

  // Whether gather_records does anything but a centre crop.
  bool changes_signal() const;
  constexpr RandomKey key(AugmentDraw draw) const {
    return {seed, epoch, static_cast<std::uint32_t>(draw)};
  }
  // A window starts at a sample where the upper 24 bits of its word are below this.
  std::uint32_t mask_threshold() const;
  constexpr std::int64_t mask_width(std::uint32_t record, std::int64_t sample) const;
};

// A sine by whole numbers: at sample t the phase is phase + t step, in 2^-32 turns, modulo one.
struct Oscillator {
  std::uint32_t phase = 0;
  std::uint32_t step = 0;
};

// What is decided once for a record.
struct RecordPlan {
  std::int64_t start = 0;  // of the crop
  std::int64_t delay = 0;  // sample t of the output is sample start + t - delay of the record
  std::int64_t partner_start = 0;
  std::int64_t partner_delay = 0;
  double factor = 1.0;     // amplitude
  double wander_mv = 0.0;  // 0: none
  double hum_mv = 0.0;
  std::array<Oscillator, 3> wander;
  Oscillator hum;
  bool masked = false;
};

// And for each lead of it.
struct LeadPlan {
  bool dropped = false;
  double wander_mv = 0.0;  // signed amplitudes
  double hum_mv = 0.0;
};

// Constexpr, so that kernels of every device call them. record: the key of its draws. length and
// crop in samples, crop <= length.
constexpr RecordPlan plan_record(const AugmentSpec& spec, std::uint32_t record, std::int64_t length,
                                 std::int64_t crop);
// The plan of one lead, before it is known whether all are dropped: then kept_lead stays.
constexpr LeadPlan plan_lead(const AugmentSpec& spec, const RecordPlan& plan, std::uint32_t record,
                             std::int64_t lead);
constexpr std::int64_t kept_lead(const AugmentSpec& spec, std::uint32_t record, std::int64_t leads);
// Writes plans[0 .. leads - 1].
void plan_leads(const AugmentSpec& spec, const RecordPlan& plan, std::uint32_t record,
                std::int64_t leads, LeadPlan* plans);

struct Mixup {
  std::int64_t partner = 0;  // 0 .. candidates - 1
  float share = 1.0F;        // of the record itself: lambda ~ Beta(alpha, alpha)
};
Mixup draw_mixup(const AugmentSpec& spec, std::uint32_t record, std::int64_t candidates);

// ---- The decisions
// -------------------------------------------------------------------------------

namespace augment_detail {

inline constexpr double wander_lowest = 0.05;  // Hz
inline constexpr double wander_highest = 0.5;
inline constexpr std::uint32_t kept_lead_block = 0x80000000U;

// "word of n": 0 .. n - 1.
constexpr std::int64_t choose(std::uint32_t word, std::int64_t n) {
  return static_cast<std::int64_t>((std::uint64_t{word} * static_cast<std::uint64_t>(n)) >> 32);
}

constexpr double unit(std::uint32_t word) { return static_cast<double>(Philox::uniform(word)); }

constexpr std::uint32_t phase_step(double frequency, double rate) {
  const double turns = frequency / rate;
  return static_cast<std::uint32_t>((turns - std::floor(turns)) * 0x1p32);
}

// Uniform in [-1, 1): the part that one lead has in a disturbance.
constexpr double lead_part(const RandomKey& key, std::uint32_t record, std::uint32_t first_block,
                           std::int64_t lead) {
  const auto block = first_block + static_cast<std::uint32_t>(lead / 4);
  return 2.0 * unit(key.draw(record, block)[static_cast<std::size_t>(lead % 4)]) - 1.0;
}

}  // namespace augment_detail

constexpr std::int64_t AugmentSpec::mask_width(std::uint32_t record, std::int64_t sample) const {
  const auto block = static_cast<std::uint32_t>(sample);
  const std::uint32_t word = key(AugmentDraw::mask_width).draw(record, block)[0];
  return mask_shortest + augment_detail::choose(word, mask_longest - mask_shortest + 1);
}

constexpr RecordPlan plan_record(const AugmentSpec& spec, std::uint32_t record, std::int64_t length,
                                 std::int64_t crop) {
  const auto draw = [&](AugmentDraw operation, std::uint32_t block = 0) {
    return spec.key(operation).draw(record, block);
  };
  RecordPlan plan;
  plan.start = plan.partner_start = (length - crop) / 2;
  if (spec.crop) {
    const Philox::Words words = draw(AugmentDraw::crop);
    plan.start = augment_detail::choose(words[0], length - crop + 1);
    plan.partner_start = augment_detail::choose(words[1], length - crop + 1);
  }
  if (spec.shift > 0.0) {
    const Philox::Words words = draw(AugmentDraw::shift);
    const auto delay = [&](std::uint32_t decides, std::uint32_t word) {
      if (augment_detail::unit(decides) >= spec.shift) return std::int64_t{0};
      return augment_detail::choose(word, 2 * spec.shift_most + 1) - spec.shift_most;
    };
    plan.delay = delay(words[0], words[1]);
    plan.partner_delay = delay(words[2], words[3]);
  }
  if (spec.amplitude > 0.0) {
    const Philox::Words words = draw(AugmentDraw::amplitude);
    const double range = spec.amplitude_high - spec.amplitude_low;
    if (augment_detail::unit(words[0]) < spec.amplitude)
      plan.factor = spec.amplitude_low + range * augment_detail::unit(words[1]);
  }
  if (spec.wander > 0.0) {
    const Philox::Words words = draw(AugmentDraw::wander);
    if (augment_detail::unit(words[0]) < spec.wander)
      plan.wander_mv = spec.wander_mv * augment_detail::unit(words[1]);
    const Philox::Words frequencies = draw(AugmentDraw::wander, 1);
    const Philox::Words phases = draw(AugmentDraw::wander, 2);
    for (std::size_t i = 0; i < plan.wander.size(); ++i) {
      const double hz = augment_detail::wander_lowest +
                        (augment_detail::wander_highest - augment_detail::wander_lowest) *
                            augment_detail::unit(frequencies[i]);
      plan.wander[i] = {phases[i], augment_detail::phase_step(hz, spec.rate)};
    }
  }
  if (spec.hum > 0.0) {
    const Philox::Words words = draw(AugmentDraw::hum);
    if (augment_detail::unit(words[0]) < spec.hum)
      plan.hum_mv = spec.hum_mv * augment_detail::unit(words[1]);
    plan.hum = {words[2], augment_detail::phase_step(spec.hum_hz, spec.rate)};
  }
  plan.masked = spec.mask > 0.0 && augment_detail::unit(draw(AugmentDraw::mask)[0]) < spec.mask;
  return plan;
}

constexpr LeadPlan plan_lead(const AugmentSpec& spec, const RecordPlan& plan, std::uint32_t record,
                             std::int64_t lead) {
  using augment_detail::lead_part;
  LeadPlan of;
  if (plan.wander_mv > 0.0) {
    of.wander_mv = plan.wander_mv * lead_part(spec.key(AugmentDraw::wander), record, 3, lead);
  }
  if (plan.hum_mv > 0.0) {
    of.hum_mv = plan.hum_mv * lead_part(spec.key(AugmentDraw::hum), record, 1, lead);
  }
  if (spec.lead_dropout > 0.0) {
    const RandomKey dropout = spec.key(AugmentDraw::lead_dropout);
    const Philox::Words words = dropout.draw(record, static_cast<std::uint32_t>(lead / 4));
    of.dropped =
        augment_detail::unit(words[static_cast<std::size_t>(lead % 4)]) < spec.lead_dropout;
  }
  return of;
}

constexpr std::int64_t kept_lead(const AugmentSpec& spec, std::uint32_t record,
                                 std::int64_t leads) {
  const RandomKey dropout = spec.key(AugmentDraw::lead_dropout);
  return augment_detail::choose(dropout.draw(record, augment_detail::kept_lead_block)[0], leads);
}

}  // namespace cardiograd
