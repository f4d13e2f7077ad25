// trainer eval: a finished run's best model, or weights from anywhere, on a fold.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/launch.h"
#include "trainer/metrics.h"

namespace cardiograd {

struct EvalOptions {
  // The run's folder; or, for weights from elsewhere, a config file that names model and data. May
  // be empty where `checkpoint` is a checkpoint's folder.
  std::filesystem::path run;
  std::vector<std::string> overrides{};         // section.key=value
  std::optional<std::filesystem::path> data{};  // another packed file than the run's
  std::optional<std::int64_t> fold{};           // instead of the run's test folds
  // "best" or "last" of the run; or a .pt or .safetensors file or a checkpoint's folder.
  std::string checkpoint = "best";
  bool quiet = false;

  // Whether `checkpoint` is one of the run's own.
  bool is_of_run() const { return checkpoint == "best" || checkpoint == "last"; }
};

struct EvalResult {
  Metrics metrics;
  double loss = 0.0;
  std::optional<std::int64_t> epoch;  // of a checkpoint; weights alone do not tell it
};

// Throws InputError where the run's folder, the data and the model do not fit together. With
// several ranks, rank 0 alone returns intervals.
EvalResult evaluate_run(const EvalOptions& options, const Launch& launch = {});

}  // namespace cardiograd
