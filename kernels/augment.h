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
  RandomKey key(AugmentDraw draw) const { return {seed, epoch, static_cast<std::uint32_t>(draw)}; }
  // A window starts at a sample where the upper 24 bits of its word are below this.
  std::uint32_t mask_threshold() const;
  std::int64_t mask_width(std::uint32_t record, std::int64_t sample) const;
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

// record: the key of its draws. length and crop in samples, crop <= length.
RecordPlan plan_record(const AugmentSpec& spec, std::uint32_t record, std::int64_t length,
                       std::int64_t crop);
// Writes plans[0 .. leads - 1].
void plan_leads(const AugmentSpec& spec, const RecordPlan& plan, std::uint32_t record,
                std::int64_t leads, LeadPlan* plans);

struct Mixup {
  std::int64_t partner = 0;  // 0 .. candidates - 1
  float share = 1.0F;        // of the record itself: lambda ~ Beta(alpha, alpha)
};
Mixup draw_mixup(const AugmentSpec& spec, std::uint32_t record, std::int64_t candidates);

}  // namespace cardiograd
