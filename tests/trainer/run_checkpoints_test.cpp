#include "trainer/run_checkpoints.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "models/registry.h"
#include "nn/ops.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::TempFolder;
using Names = std::vector<std::string>;

Names entries(const fs::path& folder) {
  Names names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_one_file(const fs::path& a, const fs::path& b) { return fs::equivalent(a, b); }

class SomeRun {
 public:
  explicit SomeRun(std::int64_t keep) { options_.keep = keep; }

  fs::path path() const { return folder_.path(); }
  RunCheckpoints checkpoints() const { return {path(), options_, "threads = 1\n"}; }
  TrainingState state(std::int64_t step) const {
    TrainingState state;
    state.step = step;
    return state;
  }
  void save_last(RunCheckpoints& checkpoints, std::int64_t step) const {
    checkpoints.save_last(*model_, optimizer_, state(step));
  }
  void save_best(RunCheckpoints& checkpoints, std::int64_t step) const {
    checkpoints.save_best(*model_, optimizer_, state(step));
  }
  Optimizer& optimizer() { return optimizer_; }
  const TempFolder& folder() const { return folder_; }

 private:
  static std::unique_ptr<Classifier> make_small() {
    TorchGenerator random(1);
    ModelOptions options;
    options.classes = 2;
    options.length = 100;
    return find_model("cnn").make({make_backend("cpu"), DType::f32, &random}, options);
  }
  TempFolder folder_;
  RunConfig::Run options_;
  std::unique_ptr<Classifier> model_ = make_small();
  FlatParameters parameters_{*model_};
  static OptimizerOptions averaging() {
    OptimizerOptions options = optimizer_defaults("sgd");
    options.ema_decay = 0.5;
    return options;
  }
  Optimizer optimizer_{averaging(), parameters_};
};

std::int64_t step_in(const fs::path& checkpoint) { return read_training_state(checkpoint).step; }

TEST(RunCheckpoints, OneIsDueEveryNStepsOrMinutes) {
  RunConfig::Run options;
  EXPECT_FALSE(RunCheckpoints("run", options, "").due_after(10));
  EXPECT_FALSE(RunCheckpoints("run", options, "").due_now());
  options.checkpoint_steps = 5;
  for (const bool writes : {true, false}) {
    const RunCheckpoints every_five("run", options, "", writes);
    EXPECT_TRUE(every_five.due_after(10));
    EXPECT_FALSE(every_five.due_after(11));
    EXPECT_FALSE(every_five.due_now());
  }
  options.checkpoint_steps = 0;
  options.checkpoint_minutes = 1e-9;
  EXPECT_FALSE(RunCheckpoints("run", options, "").due_after(10));
  EXPECT_TRUE(RunCheckpoints("run", options, "").due_now());
  EXPECT_FALSE(RunCheckpoints("run", options, "", false).due_now());
  options.checkpoint_minutes = 60;
  EXPECT_FALSE(RunCheckpoints("run", options, "").due_now());
}

TEST(RunCheckpoints, TheLatestStayAndTheBest) {
  const SomeRun run(3);
  RunCheckpoints checkpoints = run.checkpoints();
  run.save_best(checkpoints, 1);
  for (std::int64_t step = 1; step <= 4; ++step) run.save_last(checkpoints, step);
  run.save_last(checkpoints, 4);  // the same step again takes the place of its former self
  EXPECT_EQ(entries(run.path()), (Names{"best", "last", "step-00000002", "step-00000003"}));
  EXPECT_EQ(step_in(run.path() / "last"), 4);
  EXPECT_EQ(step_in(run.path() / "step-00000002"), 2);
  EXPECT_EQ(step_in(run.path() / "best"), 1);
}

TEST(RunCheckpoints, OneAloneStaysByDefault) {
  const SomeRun run(1);
  RunCheckpoints checkpoints = run.checkpoints();
  for (std::int64_t step = 1; step <= 3; ++step) run.save_last(checkpoints, step);
  EXPECT_EQ(entries(run.path()), Names{"last"});
}

TEST(RunCheckpoints, AnotherProcessGoesOnKeeping) {
  const SomeRun run(2);
  RunCheckpoints first = run.checkpoints();
  run.save_last(first, 1);
  RunCheckpoints second = run.checkpoints();
  run.save_last(second, 2);
  EXPECT_EQ(entries(run.path()), (Names{"last", "step-00000001"}));
}

TEST(RunCheckpoints, ARunGoesOnFromTheLastElseFromTheLatest) {
  const SomeRun run(3);
  EXPECT_EQ(find_checkpoint(run.path()), std::nullopt);
  EXPECT_EQ(find_checkpoint(run.path() / "none"), std::nullopt);
  RunCheckpoints checkpoints = run.checkpoints();
  run.save_best(checkpoints, 2);
  EXPECT_EQ(find_checkpoint(run.path()), run.path() / "best");
  for (std::int64_t step = 1; step <= 4; ++step) run.save_last(checkpoints, step);
  EXPECT_EQ(find_checkpoint(run.path()), run.path() / "last");
  fs::remove_all(run.path() / "last");
  EXPECT_EQ(find_checkpoint(run.path()), run.path() / "step-00000003");
  fs::remove(run.path() / "step-00000003/model.safetensors");
  EXPECT_EQ(find_checkpoint(run.path()), run.path() / "step-00000002") << "a whole one";
}

TEST(RunCheckpoints, WhatAKilledRunLeftIsTidied) {
  const SomeRun run(2);
  RunCheckpoints checkpoints = run.checkpoints();
  run.save_last(checkpoints, 1);
  fs::rename(run.path() / "last", run.path() / "last.writing");  // the former, exchanged
  run.save_best(checkpoints, 2);
  fs::rename(run.path() / "best", run.path() / "last");
  for (const char* name : {"best.writing/model.safetensors", "step-00000000.old/state.json",
                           "config.toml.tmp-7-1", "notes.old", "picture.writing"}) {
    run.folder().write(name, "x");
  }
  clean_checkpoints(run.path());
  EXPECT_EQ(entries(run.path()), (Names{"last", "notes.old", "picture.writing", "step-00000001"}));
  EXPECT_EQ(step_in(run.path() / "last"), 2);

  fs::rename(run.path() / "last", run.path() / "last.old");  // killed between two renames
  EXPECT_EQ(find_checkpoint(run.path()), run.path() / "last.old");
  clean_checkpoints(run.path());
  EXPECT_EQ(step_in(run.path() / "last"), 2);
}

TEST(RunCheckpoints, LastSharesWhatItHasInCommonWithABestOfTheSameStep) {
  SomeRun run(1);
  RunCheckpoints checkpoints = run.checkpoints();
  const auto shares = [&](const char* file) {
    return is_one_file(run.path() / "best" / file, run.path() / "last" / file);
  };
  run.save_best(checkpoints, 1);
  run.save_last(checkpoints, 1);
  EXPECT_TRUE(shares("model.safetensors"));
  EXPECT_TRUE(shares("optimizer.safetensors"));
  run.save_last(checkpoints, 2);
  EXPECT_FALSE(shares("model.safetensors"));
  EXPECT_FALSE(shares("optimizer.safetensors"));

  run.optimizer().step();
  {
    const AveragedWeights averaged(run.optimizer());
    run.save_best(checkpoints, 3);
  }
  run.save_last(checkpoints, 3);
  EXPECT_FALSE(shares("model.safetensors")) << "best has the averaged weights";
  EXPECT_TRUE(shares("optimizer.safetensors"));
}

}  // namespace
}  // namespace cardiograd
