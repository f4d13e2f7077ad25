// When a synthetic heart beats.
#pragma once

#include <cstdint>
#include <vector>

#include "data/synth_plan.h"

namespace cardiograd {

struct SynthBeatTime {
  double time = 0;      // s: the main QRS peak; the record runs from 0 to 10
  double cycle = 1;     // s since the beat before, which sets how long repolarisation takes
  double pr_extra = 0;  // s on top of the patient's PR interval
  bool atrial = true;   // has a P wave
  bool ventricular = true;
  bool premature = false;  // ventricular premature beat
};

// All beats whose waves reach into the record. The sinus cycle follows respiration and the Mayer
// waves of blood pressure (about 0.25 Hz and 0.1 Hz), as in McSharry et al. (2003).
std::vector<SynthBeatTime> make_synth_rhythm(const SynthPlan& plan, std::uint64_t seed);

// Hz: the breathing of this record, which also moves axis, amplitude and baseline.
double synth_respiration_rate(const SynthPlan& plan, std::uint64_t seed);

}  // namespace cardiograd
