// trainer eval: a finished run's best model on a fold.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "trainer/metrics.h"

namespace cardiograd {

struct EvalOptions {
  std::filesystem::path run;                    // the run's folder
  std::optional<std::filesystem::path> data{};  // another packed file than the run's
  std::optional<std::int64_t> fold{};           // instead of the run's test folds
  std::string checkpoint = "best";              // or "last"
  bool quiet = false;
};

struct EvalResult {
  Metrics metrics;
  double loss = 0.0;
  std::int64_t epoch = 0;
};

// Throws InputError where the run's folder, the data and the model do not fit together.
EvalResult evaluate_run(const EvalOptions& options);

}  // namespace cardiograd
