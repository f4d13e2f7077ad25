// What an electrode picks up besides the heart.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/synth_plan.h"

namespace cardiograd {

// RA, LA, LL, V1 .. V6.
constexpr int synth_electrode_count = 9;
using SynthElectrodes = std::array<std::vector<float>, synth_electrode_count>;

// Potentials in mV, `length` samples at `rate` Hz; `respiration` in Hz. Noise arises at the
// electrodes, not in the leads: whatever it is, lead III remains II - I.
SynthElectrodes make_synth_noise(const SynthPlan& plan, std::uint64_t seed, double respiration,
                                 int length, double rate);

}  // namespace cardiograd
