#include "trainer/schedule.h"

#include <gtest/gtest.h>

#include "nn/safetensors.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

constexpr std::int64_t steps_per_epoch = 7, epochs = 12;

RunConfig config_for(const std::string& name) {
  RunConfig config;
  config.train.lr = 0.02;
  config.schedule.name = name;
  return config;
}

// Values that tests/golden/make_schedule_golden.py makes with PyTorch.
std::vector<double> golden(const std::string& name) {
  static const SafetensorsFile file(CARDIOGRAD_SOURCE_DIR
                                    "/tests/golden/data/schedules.safetensors");
  const ConstView view = file.view(name);
  return {view.as<double>(), view.as<double>() + view.numel()};
}

void expect_rates(const RunConfig& config, const std::string& name) {
  const Schedule schedule(config, steps_per_epoch, epochs);
  const std::vector<double> expected = golden(name);
  ASSERT_EQ(expected.size(), std::size_t{steps_per_epoch * epochs});
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double lr = schedule.at(static_cast<std::int64_t>(i) + 1).lr;
    EXPECT_NEAR(lr, expected[i], 1e-12) << name << ", step " << i + 1;
  }
}

TEST(Schedule, StepIsPyTorchs) {
  RunConfig config = config_for("step");
  config.schedule.step_epochs = 5;
  config.schedule.factor = 0.3;
  expect_rates(config, "step");
}

TEST(Schedule, CosineIsPyTorchs) {
  RunConfig config = config_for("cosine");
  config.schedule.min_lr = 1e-4;
  expect_rates(config, "cosine");
  config.schedule.warmup_epochs = 2.0;
  expect_rates(config, "warm_cosine");
}

TEST(Schedule, OneCycleIsPyTorchs) {
  const RunConfig config = config_for("one_cycle");
  expect_rates(config, "one_cycle");
  const Schedule schedule(config, steps_per_epoch, epochs);
  const std::vector<double> momentum = golden("one_cycle.momentum");
  for (std::size_t i = 0; i < momentum.size(); ++i) {
    EXPECT_NEAR(schedule.at(static_cast<std::int64_t>(i) + 1).momentum.value(), momentum[i], 1e-12);
  }
}

TEST(Schedule, PlateauIsPyTorchsAndContinues) {
  RunConfig config = config_for("plateau");
  config.schedule.factor = 0.2;
  config.schedule.patience = 2;
  config.schedule.min_lr = 5e-4;
  Schedule schedule(config, steps_per_epoch, epochs);
  const std::vector<double> expected = golden("plateau"), scores = golden("scores");
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    const std::int64_t step = epoch * steps_per_epoch + 1;
    EXPECT_NEAR(schedule.at(step).lr, expected[static_cast<std::size_t>(step) - 1], 1e-12) << epoch;
    Schedule resumed(config, steps_per_epoch, epochs);
    resumed.set_progress(schedule.progress());
    EXPECT_EQ(resumed.at(step).lr, schedule.at(step).lr);
    schedule.observe(scores[static_cast<std::size_t>(epoch)]);
  }
  EXPECT_LT(expected.back(), expected.front());
}

TEST(Schedule, FastaiTurnsAfterAQuarter) {
  const Schedule schedule(config_for("fastai"), 100, 10);
  EXPECT_NEAR(schedule.at(1).lr, 0.02 / 25.0, 1e-12);
  EXPECT_NEAR(schedule.at(250).lr, 0.02, 1e-12);
  EXPECT_NEAR(schedule.at(250).momentum.value(), 0.85, 1e-12);
  EXPECT_NEAR(schedule.at(1000).lr, 0.02 / 1e5, 1e-12);
  EXPECT_NEAR(schedule.at(1000).momentum.value(), 0.95, 1e-12);
  EXPECT_EQ(schedule.at(5000).lr, schedule.at(1000).lr);
}

TEST(Schedule, ConstantIsConstantAfterItsWarmUp) {
  RunConfig config = config_for("constant");
  config.schedule.warmup_epochs = 0.5;
  const Schedule schedule(config, 8, 2);
  EXPECT_EQ(schedule.at(1).lr, 0.02 / 4.0);
  EXPECT_EQ(schedule.at(4).lr, 0.02);
  EXPECT_EQ(schedule.at(16).lr, 0.02);
  EXPECT_FALSE(schedule.at(1).momentum);
}

TEST(Schedule, OneStepIsEnoughForEach) {
  for (const char* name : {"constant", "step", "cosine", "plateau", "one_cycle", "fastai"}) {
    const double lr = Schedule(config_for(name), 1, 1).at(1).lr;
    EXPECT_TRUE(lr > 0.0 && lr <= 0.02) << name;
  }
}

}  // namespace
}  // namespace cardiograd
