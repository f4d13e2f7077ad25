// The checkpoints of a run: when one is due, which ones stay, and which one a run goes on from.
//
//   RUN/last           the latest
//   RUN/best           of the best epoch so far
//   RUN/step-00001200  earlier ones, where run.keep asks for more than one
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <string>

#include "trainer/checkpoint.h"
#include "trainer/config.h"

namespace cardiograd {

class RunCheckpoints {
 public:
  // `config`: what each checkpoint keeps as config.toml. writes: whether this process is the one of
  // the run that writes; saving the others' checkpoints does nothing. `before_writing` sees to it
  // that what a checkpoint refers to is on the disk; it is called by another thread.
  RunCheckpoints(std::filesystem::path run, const RunConfig::Run& options, std::string config,
                 bool writes = true, std::function<void()> before_writing = {});
  RunCheckpoints(const RunCheckpoints&) = delete;
  RunCheckpoints& operator=(const RunCheckpoints&) = delete;

  // Whether run.checkpoint_steps asks for one after this step: the same in every process.
  bool due_after(std::int64_t step) const;
  // Whether run.checkpoint_epochs does after this epoch (from 1).
  bool due_after_epoch(std::int64_t epoch) const { return epoch % options_.checkpoint_epochs == 0; }
  // Whether run.checkpoint_minutes asks for one now: of the process that writes alone.
  bool due_now() const;
  // Copies the best so far, which is written with the next last: a run that ends before does the
  // epochs since the last one again instead of losing its best model. Waits as save_last() does.
  void keep_best(const Module& model, const Optimizer& optimizer, const TrainingState& state);
  // For who goes back to last: what comes after it did not happen.
  void forget_best() { best_.reset(); }
  // As save_checkpoint(), by a thread behind: returns when the tensors are copied, and waits before
  // for what was saved earlier. Last shares the files that are the same as best's.
  void save_last(const Module& model, const Optimizer& optimizer, const TrainingState& state);
  // Returns when all that was saved is on the disk. Throws InputError where that failed, as does
  // the next saving. (The end of this object's life only waits.)
  void finish();

  std::filesystem::path best() const { return run_ / "best"; }
  std::filesystem::path last() const { return run_ / "last"; }

 private:
  struct Best {
    bool is_average = false;
    CheckpointContents contents;
  };

  std::filesystem::path run_;
  RunConfig::Run options_;
  std::string config_;
  bool writes_;
  std::chrono::steady_clock::time_point saved_ = std::chrono::steady_clock::now();
  std::optional<std::int64_t> last_step_;
  std::function<void()> before_writing_;
  std::optional<Best> best_;  // that is not written yet
  std::future<void> writing_;
};

// Where the run in this folder goes on: last; where that was removed, the latest of the others.
std::optional<std::filesystem::path> find_checkpoint(const std::filesystem::path& run);

// Brings a folder in order whose run was killed while it wrote: nothing temporary is left, and no
// whole checkpoint is lost. Nobody else may write there meanwhile.
void clean_checkpoints(const std::filesystem::path& run);

}  // namespace cardiograd
