// trainer fit: train, keep the best epoch, evaluate it on the test folds.
#pragma once

#include <optional>

#include "nn/profile.h"
#include "trainer/config.h"
#include "trainer/launch.h"
#include "trainer/metrics.h"
#include "trainer/run_folder.h"

namespace cardiograd {

struct FitResult {
  Metrics test;
  std::int64_t best_epoch = 0;
  bool was_finished = false;               // before: nothing was done, and the others are empty
  std::optional<ProfileReport> profile{};  // of this process's training steps, where asked for
};

// Makes run.dir with everything that a run leaves behind (docs/architecture.md). quiet: no
// progress. Resuming, the run goes on from its last checkpoint and ends with the same bits as if it
// had never stopped; without a checkpoint it begins anew. SIGTERM and SIGINT save a checkpoint and
// throw Interrupted, SIGUSR1 saves one and goes on.
//
// As one rank of several, this process computes its share of every batch; all end with the same
// weights. Rank 0 alone writes the folder, which all must see, and returns intervals. A checkpoint
// may be resumed by another number of ranks.
//
// profile: times each operation of the training steps (nn/profile.h), which makes them longer and
// changes no bit.
FitResult fit(const RunConfig& config, bool quiet = false, Start start = Start::anew,
              const Launch& launch = {}, bool profile = false);

}  // namespace cardiograd
