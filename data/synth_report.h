// The free text of a synthetic record.
#pragma once

#include <cstdint>
#include <string>

#include "data/synth_plan.h"

namespace cardiograd {

// A cardiologist's or a machine's note on the plan's findings in German or English: lower case,
// hedged by likelihood, with abbreviations and now and then a slip of the keyboard. A few say
// nothing of use. UTF-8, never empty. `axis` is the frontal QRS axis in degrees.
std::string make_synth_report(const SynthPlan& plan, double axis, std::uint64_t seed);

}  // namespace cardiograd
