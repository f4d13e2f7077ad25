// Metrics for readers: one JSON object for programs, one table for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cardiograd {

struct Metrics;

// Keys: macro_auroc, macro_auprc, macro_f1, hit_rate, records, classes [{name, auroc, auprc, f1,
// positives, negatives}], undefined [names], and, where there was a bootstrap, bootstrap {mean,
// q05, q95, resamples} and auroc_q05, auroc_q95 in each class. What is absent is null. Names that
// are not UTF-8 have the broken bytes replaced, so that the object can always be written.
nlohmann::ordered_json to_json(const Metrics& metrics);

// Several lines, each ended by a newline; columns are aligned, "-" stands for what is absent.
std::string to_table(const Metrics& metrics);

}  // namespace cardiograd
