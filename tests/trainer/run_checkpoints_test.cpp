#include "trainer/run_checkpoints.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <gtest/gtest.h>
#include <thread>
#include <utility>

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
  RunCheckpoints checkpoints(std::function<void()> before_writing = {}) const {
    return {path(), options_, "threads = 1\n", true, std::move(before_writing)};
  }
  TrainingState state(std::int64_t step) const {
    TrainingState state;
    state.step = step;
    return state;
  }
  void save_last(RunCheckpoints& checkpoints, std::int64_t step) const {
    checkpoints.save_last(*model_, optimizer_, state(step));
    checkpoints.finish();
  }
  void keep_best(RunCheckpoints& checkpoints, std::int64_t step) const {
    checkpoints.keep_best(*model_, optimizer_, state(step));
  }
  void save_as(const char* name, std::int64_t step) const {
    save_checkpoint(path() / name, {*model_, &optimizer_, state(step), "threads = 1\n"});
  }
  const Module& model() const { return *model_; }
  const Tensor& weights() const { return parameters_.values(); }
  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }
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
  EXPECT_TRUE(RunCheckpoints("run", options, "").due_after_epoch(1));
  options.checkpoint_epochs = 3;
  EXPECT_FALSE(RunCheckpoints("run", options, "").due_after_epoch(2));
  EXPECT_TRUE(RunCheckpoints("run", options, "").due_after_epoch(6));
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
  run.keep_best(checkpoints, 1);
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
  run.save_as("best", 2);
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
  run.save_as("best", 2);
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
  run.keep_best(checkpoints, 1);
  run.save_last(checkpoints, 1);
  EXPECT_TRUE(shares("model.safetensors"));
  EXPECT_TRUE(shares("optimizer.safetensors"));
  run.save_last(checkpoints, 2);
  EXPECT_FALSE(shares("model.safetensors"));
  EXPECT_FALSE(shares("optimizer.safetensors"));

  run.optimizer().step();
  {
    const AveragedWeights averaged(run.optimizer());
    run.keep_best(checkpoints, 3);
  }
  run.save_last(checkpoints, 3);
  EXPECT_FALSE(shares("model.safetensors")) << "best has the averaged weights";
  EXPECT_TRUE(shares("optimizer.safetensors"));
}

// The thread that trains goes on meanwhile.
TEST(RunCheckpoints, AreWrittenBehindAsTheyWereWhenTheyWereSaved) {
  SomeRun run(1);
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  RunCheckpoints checkpoints = run.checkpoints([opened] { opened.wait(); });
  const Tensor& weights = run.weights();
  weights.backend()->fill(weights.view(), 0.5);
  run.optimizer().step();  // of no gradient
  {
    const AveragedWeights averaged(run.optimizer());
    weights.backend()->fill(weights.view(), 0.25);
    run.keep_best(checkpoints, 7);
  }
  weights.backend()->fill(weights.view(), 0.75);
  checkpoints.save_last(run.model(), run.optimizer(), run.state(7));
  weights.backend()->fill(weights.view(), 2.0);
  EXPECT_EQ(entries(run.path()), Names{}) << "nothing is written yet";
  gate.set_value();
  checkpoints.finish();
  EXPECT_EQ(entries(run.path()), (Names{"best", "last"}));
  for (const auto& [name, value] : {std::pair("best", 0.25F), std::pair("last", 0.75F)}) {
    EXPECT_EQ(step_in(run.path() / name), 7);
    const SafetensorsFile file(run.path() / name / "model.safetensors");
    EXPECT_EQ(file.view("conv1.bias").as<float>()[3], value) << name;
  }
}

TEST(RunCheckpoints, TheBestIsWrittenWithTheNextLast) {
  const SomeRun run(1);
  RunCheckpoints checkpoints = run.checkpoints();
  run.keep_best(checkpoints, 2);
  run.keep_best(checkpoints, 4);
  checkpoints.finish();
  EXPECT_EQ(entries(run.path()), Names{});
  run.save_last(checkpoints, 6);
  EXPECT_EQ(step_in(run.path() / "best"), 4);
  EXPECT_EQ(step_in(run.path() / "last"), 6);
  run.keep_best(checkpoints, 8);
  checkpoints.forget_best();
  run.save_last(checkpoints, 9);
  EXPECT_EQ(step_in(run.path() / "best"), 4);
}

TEST(RunCheckpoints, TheEndOfARunWaitsForWhatIsBeingWritten) {
  const SomeRun run(1);
  {
    RunCheckpoints checkpoints =
        run.checkpoints([] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); });
    checkpoints.save_last(run.model(), run.optimizer(), run.state(3));
  }
  EXPECT_EQ(step_in(run.path() / "last"), 3);
}

TEST(RunCheckpoints, AnErrorIsHeardLaterAndWhatComesAfterItIsNotWritten) {
  const SomeRun run(1);
  bool fails = true;
  RunCheckpoints checkpoints = run.checkpoints([&fails] {
    if (std::exchange(fails, false)) throw InputError("the disk is full");
  });
  run.keep_best(checkpoints, 3);
  checkpoints.save_last(run.model(), run.optimizer(), run.state(3));
  EXPECT_EQ(error_of([&] { checkpoints.finish(); }), "the disk is full");
  EXPECT_EQ(entries(run.path()), Names{});
  fails = true;
  checkpoints.save_last(run.model(), run.optimizer(), run.state(4));
  EXPECT_EQ(error_of([&] { checkpoints.save_last(run.model(), run.optimizer(), run.state(5)); }),
            "the disk is full");
  EXPECT_EQ(entries(run.path()), Names{});
}

}  // namespace
}  // namespace cardiograd
