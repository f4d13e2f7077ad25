// trainer fit: train, keep the best epoch, evaluate it on the test folds.
#pragma once

#include <optional>

#include "nn/profile.h"
#include "trainer/config.h"
#include "trainer/launch.h"
#include "trainer/memory_report.h"
#include "trainer/metrics.h"
#include "trainer/run_folder.h"

namespace cardiograd {

class Ranks;

struct FitResult {
  Metrics test;
  std::int64_t best_epoch = 0;
  bool was_finished = false;               // before: nothing was done, and the others are empty
  std::optional<ProfileReport> profile{};  // of this process's training steps, where asked for
  std::optional<MemoryReport> memory{};    // of a training step, where asked for
};

// What a run tells of its training steps besides; no bit of the results depends on it.
struct StepInsight {
  bool profile = false;  // times each operation (nn/profile.h), which makes steps longer
  bool memory = false;   // what a step holds in memory; of one process alone
};

// Makes run.dir with everything that a run leaves behind (docs/architecture.md). quiet: no
// progress. Resuming, the run goes on from its last checkpoint and ends with the same bits as if it
// had never stopped; without a checkpoint it begins anew. SIGTERM and SIGINT save a checkpoint and
// throw Interrupted, SIGUSR1 saves one and goes on.
//
// As one rank of several, this process computes its share of every batch; all end with the same
// weights. Rank 0 alone writes the folder, which all must see, and returns intervals. A checkpoint
// may be resumed by another number of ranks.
FitResult fit(const RunConfig& config, bool quiet = false, Start start = Start::anew,
              const Launch& launch = {}, const StepInsight& insight = {});
// The same, of ranks that have found each other.
FitResult fit(const RunConfig& config, const Ranks& ranks, bool quiet = false,
              Start start = Start::anew, const StepInsight& insight = {});

}  // namespace cardiograd
