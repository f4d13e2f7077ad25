// Who a synthetic record belongs to and what is wrong with that heart: everything but the signal.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "data/synth_random.h"

namespace cardiograd {

// A statement of a record. `severity` in [0, 1] scales how far the signal departs from normal;
// likelihood is PTB-XL's: 100, 80, 50, 35 or 15, and 0 for "present, likelihood unknown".
struct SynthFinding {
  std::string_view code;
  int likelihood = 0;
  double severity = 0;
};

struct SynthPlan {
  std::int64_t record = 0;   // 1, 2, ...
  std::int64_t patient = 0;  // the record number of the patient's first record
  int visit = 0;             // 0 for that first record
  double age = 0;            // years
  bool female = false;
  double height = 0;          // cm
  double weight = 0;          // kg
  double rate = 0;            // ventricular beats per minute
  bool acute = false;         // an infarct's stage: ST elevation, or an old scar
  double baseline_drift = 1;  // factors on the noise of an average record
  double static_noise = 1;
  std::optional<int> burst_lead;  // 0..11: a lead with electrode motion
  std::vector<SynthFinding> findings;

  bool has(std::string_view code) const;
  // 0 where the statement is absent.
  double severity(std::string_view code) const;
  bool has_superclass(std::string_view superclass) const;
};

// The plan of record number `record` (from 1): the same whatever else is made. Frequencies and
// co-occurrences follow those that Wagner et al. (2020) and Strodthoff et al., "Deep learning for
// ECG analysis: benchmarks and insights from PTB-XL" (2021) report.
SynthPlan plan_synth_record(std::uint64_t seed, std::int64_t record);

}  // namespace cardiograd
