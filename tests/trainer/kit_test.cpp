// What a config can ask of the training loop besides the plain step.
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "nn/safetensors.h"
#include "tests/support/run_events.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temp_folder.h"
#include "trainer/eval.h"
#include "trainer/fit.h"
#include "trainer/schedule.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::error_of;
using testing::events;
using testing::read_file;
using testing::repeatable_events;
using testing::SyntheticData;
using testing::TempFolder;

const SyntheticData& data() {
  static const SyntheticData made(120);
  return made;
}

RunConfig config_for(const fs::path& run) {
  RunConfig config;
  config.data.path = data().packed().string();
  config.run.dir = run.string();
  config.run.plots = false;
  config.train.epochs = 2;
  config.train.batch_size = 32;
  return config;
}

std::vector<double> values(const fs::path& run, const std::string& kind, const std::string& key) {
  std::vector<double> found;
  for (const json& event : events(run, kind)) found.push_back(event.at(key).get<double>());
  return found;
}

std::vector<float> tensor(const fs::path& file, const std::string& name) {
  const SafetensorsFile opened(file);
  const ConstView view = opened.view(name);
  return {view.as<float>(), view.as<float>() + view.numel()};
}

TEST(Kit, TheLearningRateFollowsItsSchedule) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.schedule.name = "cosine";
  config.schedule.warmup_epochs = 0.5;
  fit(config, true);
  const std::vector<double> rates = values(folder / "run", "step", "lr");
  const Schedule schedule(config, static_cast<std::int64_t>(rates.size()) / 2, 2);
  for (std::size_t i = 0; i < rates.size(); ++i) {
    EXPECT_EQ(rates[i], schedule.at(static_cast<std::int64_t>(i) + 1).lr);
  }
  EXPECT_LT(rates.front(), config.train.lr);

  config.schedule = {};
  config.run.dir = (folder / "constant").string();
  fit(config, true);
  const std::vector<double> with = values(folder / "run", "step", "loss");
  const std::vector<double> without = values(folder / "constant", "step", "loss");
  EXPECT_EQ(with[0], without[0]);
  EXPECT_NE(with[1], without[1]) << "the first step was a smaller one";
}

TEST(Kit, AccumulatedBatchesAreOneBigBatch) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "one");
  config.train.lr = 1e-3;
  fit(config, true);
  config.run.dir = (folder / "two").string();
  config.train.batch_size = 16;  // the last of an epoch is shorter
  config.train.accumulate = 2;
  fit(config, true);
  const std::vector<double> one = values(folder / "one", "step", "loss");
  const std::vector<double> two = values(folder / "two", "step", "loss");
  ASSERT_EQ(one.size(), two.size());
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_NEAR(two[i], one[i], 1e-5 * one[i]) << i;
}

TEST(Kit, TheAverageIsWhatIsValidatedKeptAndTested) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.lr = 1e-3;
  config.train.ema = 0.9;
  const FitResult result = fit(config, true);
  const fs::path last = folder / "run/last";
  const std::string name = "conv1.weight";
  if (result.best_epoch == 2) {
    EXPECT_EQ(tensor(folder / "run/best/model.safetensors", name),
              tensor(last / "optimizer.safetensors", name + ".average"));
  }
  EXPECT_NE(tensor(last / "model.safetensors", name),
            tensor(last / "optimizer.safetensors", name + ".average"));
  EvalOptions options{.run = folder / "run"};
  options.quiet = true;
  EXPECT_EQ(evaluate_run(options).metrics.macro_auroc, result.test.macro_auroc);

  config.train.ema = 0.0;
  config.run.dir = (folder / "plain").string();
  fit(config, true);
  EXPECT_EQ(values(folder / "run", "step", "loss"), values(folder / "plain", "step", "loss"))
      << "the average does not touch training";
  EXPECT_NE(values(folder / "run", "epoch", "valid_loss"),
            values(folder / "plain", "epoch", "valid_loss"));
}

TEST(Kit, FrozenParametersStay) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "first");
  fit(config, true);
  config.train.init = (folder / "first/best").string();
  config.train.freeze = {"conv*"};
  config.run.dir = (folder / "second").string();
  fit(config, true);
  const fs::path before = folder / "first/best/model.safetensors";
  const fs::path after = folder / "second/last/model.safetensors";
  EXPECT_EQ(tensor(before, "conv1.weight"), tensor(after, "conv1.weight"));
  EXPECT_NE(tensor(before, "fc2.weight"), tensor(after, "fc2.weight"));
  config.train.freeze = {"conf*"};
  config.run.dir = (folder / "third").string();
  EXPECT_NE(error_of([&] { fit(config, true); }).find("\"conf*\""), std::string::npos);
}

TEST(Kit, ANewHeadStartsFresh) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "first");
  config.train.epochs = 1;
  fit(config, true);
  config.data.task = "rhythm";
  config.train.init = (folder / "first/best").string();
  config.run.dir = (folder / "second").string();
  EXPECT_NE(error_of([&] { fit(config, true); }).find("fc2.weight"), std::string::npos)
      << "another number of classes does not fit";
  config.train.init_except = {"fc2.*"};
  config.train.freeze = {"conv*"};
  fit(config, true);
  EXPECT_EQ(tensor(folder / "first/best/model.safetensors", "conv2.weight"),
            tensor(folder / "second/last/model.safetensors", "conv2.weight"));
  config.train.init_except = {"head.*"};
  config.run.dir = (folder / "third").string();
  EXPECT_NE(error_of([&] {
              fit(config, true);
            }).find("train.init_except: no tensor of the model is called \"head.*\""),
            std::string::npos);
}

TEST(Kit, TrainingEndsWhenNothingGetsBetter) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.lr = 0.0;
  config.train.epochs = 50;
  config.train.early_stopping = 3;
  fit(config, true);
  EXPECT_EQ(events(folder / "run", "epoch").size(), 4U);
  EXPECT_TRUE(fit(config, true, Start::resume).was_finished);
}

TEST(Kit, APlateauLowersTheLearningRate) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.lr = 1e-300;  // nothing ever gets better
  config.train.epochs = 5;
  config.schedule.name = "plateau";
  config.schedule.patience = 1;
  config.schedule.factor = 0.5;
  config.run.checkpoint_steps = 1;
  fit(config, true);
  const std::vector<double> rates = values(folder / "run", "step", "lr");
  EXPECT_EQ(rates.front(), 1e-300);
  EXPECT_EQ(rates.back(), 0.25e-300 * 2.0) << "two epochs without, then half";
}

TEST(Kit, LossesAndWeightDecayAreTheConfigs) {
  const TempFolder folder;
  const auto first_losses = [&](const std::string& name, const auto& change) {
    RunConfig config = config_for(folder / name);
    config.train.epochs = 1;
    config.train.optimizer = "adamw";
    config.train.lr = 1e-2;
    change(config);
    fit(config, true);
    std::vector<double> losses = values(folder / name, "step", "loss");
    losses.resize(2);
    return losses;
  };
  const auto plain = first_losses("plain", [](RunConfig&) {});
  const auto smoothed = first_losses("smoothed", [](RunConfig& c) { c.loss.smoothing = 0.1; });
  const auto focal = first_losses("focal", [](RunConfig& c) { c.loss.name = "focal"; });
  const auto asymmetric =
      first_losses("asymmetric", [](RunConfig& c) { c.loss.name = "asymmetric"; });
  EXPECT_NE(smoothed[0], plain[0]);
  EXPECT_LT(focal[0], plain[0]);
  EXPECT_LT(asymmetric[0], plain[0]);
  EXPECT_NE(focal[0], asymmetric[0]);
  const auto all = first_losses("all", [](RunConfig& c) { c.train.weight_decay = 5.0; });
  const auto weights = first_losses("weights", [](RunConfig& c) {
    c.train.weight_decay = 5.0;
    c.train.decay = "weights";
  });
  EXPECT_EQ(all[0], plain[0]);
  EXPECT_NE(all[1], plain[1]);
  EXPECT_NE(weights[1], all[1]) << "biases do not decay";
}

TEST(Kit, LogsForTensorBoardUnlessTheyAreNotWanted) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  fit(config, true);
  std::string text;
  for (const auto& entry : fs::directory_iterator(folder / "run/tensorboard")) {
    text += read_file(entry.path());
  }
  for (const char* tag : {"loss/train", "loss/valid", "auroc/valid", "lr", "speed/data_wait",
                          "loss/test", "[train]"}) {
    EXPECT_NE(text.find(tag), std::string::npos) << tag;
  }
  const std::vector<nlohmann::json> epochs = events(folder / "run", "epoch");
  ASSERT_GE(epochs.size(), 2U);
  EXPECT_EQ(epochs[0].at("save_seconds"), 0.0) << "nothing was saved before";
  EXPECT_GT(epochs[1].at("save_seconds"), 0.0);
  config.run.tensorboard = false;
  config.run.dir = (folder / "none").string();
  fit(config, true);
  EXPECT_FALSE(fs::exists(folder / "none/tensorboard"));
  EXPECT_EQ(repeatable_events(folder / "run"), repeatable_events(folder / "none"));
}

}  // namespace
}  // namespace cardiograd
