// trainer fit: train, keep the best epoch, evaluate it on the test folds.
#pragma once

#include "trainer/config.h"
#include "trainer/metrics.h"

namespace cardiograd {

struct FitResult {
  Metrics test;
  std::int64_t best_epoch = 0;
};

// Makes run.dir with everything that a run leaves behind (docs/architecture.md). quiet: no
// progress.
FitResult fit(const RunConfig& config, bool quiet = false);

}  // namespace cardiograd
