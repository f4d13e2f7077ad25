// The checkpoints of a run: when one is due, which ones stay, and which one a run goes on from.
//
//   RUN/last           the latest
//   RUN/best           of the best epoch so far
//   RUN/step-00001200  earlier ones, where run.keep asks for more than one
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "trainer/checkpoint.h"
#include "trainer/config.h"

namespace cardiograd {

class RunCheckpoints {
 public:
  // `config`: what each checkpoint keeps as config.toml. writes: whether this process is the one of
  // the run that writes; saving the others' checkpoints does nothing.
  RunCheckpoints(std::filesystem::path run, const RunConfig::Run& options, std::string config,
                 bool writes = true);

  // Whether run.checkpoint_steps asks for one after this step: the same in every process.
  bool due_after(std::int64_t step) const;
  // Whether run.checkpoint_minutes asks for one now: of the process that writes alone.
  bool due_now() const;
  // As save_checkpoint(). Best is saved before last, so that a run that ends in between does the
  // epoch again instead of losing its best model; last then shares the files that are the same.
  void save_best(const Module& model, const Optimizer& optimizer, const TrainingState& state);
  void save_last(const Module& model, const Optimizer& optimizer, const TrainingState& state);

  std::filesystem::path best() const { return run_ / "best"; }
  std::filesystem::path last() const { return run_ / "last"; }

 private:
  void remove_oldest() const;
  std::optional<CheckpointTwin> twin_at(std::int64_t step) const;

  std::filesystem::path run_;
  RunConfig::Run options_;
  std::string config_;
  bool writes_;
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();
  std::optional<std::int64_t> last_step_;
  std::optional<std::int64_t> best_step_;  // if this process saved it
  bool best_is_average_ = false;
};

// Where the run in this folder goes on: last; where that was removed, the latest of the others.
std::optional<std::filesystem::path> find_checkpoint(const std::filesystem::path& run);

// Brings a folder in order whose run was killed while it wrote: nothing temporary is left, and no
// whole checkpoint is lost. Nobody else may write there meanwhile.
void clean_checkpoints(const std::filesystem::path& run);

}  // namespace cardiograd
