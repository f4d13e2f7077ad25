// The samples of a synthetic record.
#pragma once

#include <cstdint>
#include <vector>

#include "data/synth_plan.h"

namespace cardiograd {

// Format-16 samples, 1000 adu/mV, time-major: [time, 12], leads I, II, III, AVR, AVL, AVF, V1 ..
// V6.
struct SynthSignal {
  std::vector<std::int16_t> low;  // [1000, 12] at 100 Hz: `high`'s signal, low-passed and decimated
  std::vector<std::int16_t>
      high;  // [5000, 12] at 500 Hz, in steps of 5 adu like PTB-XL's recorders
};

// Ten seconds of the plan's heart with noise. In both, III = II - I holds exactly, and aVR, aVL and
// aVF follow Goldberger's equations to half an adu.
SynthSignal make_synth_signal(const SynthPlan& plan, std::uint64_t seed);

}  // namespace cardiograd
