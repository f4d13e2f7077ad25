#include "trainer/find_lr.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "kernels/error.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/temp_folder.h"
#include "trainer/gnuplot.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::read_file;
using testing::SyntheticData;
using testing::TempFolder;

const SyntheticData& data() {
  static const SyntheticData made(60);
  return made;
}

RunConfig config_for() {
  RunConfig config;
  config.data.path = data().packed().string();
  config.train.batch_size = 16;
  return config;
}

// Flat, falling along a sigmoid around lr = 1e-3, rising behind 1e-1.
LrCurve made_curve(std::int64_t steps) {
  LrCurve curve({.from = 1e-7, .to = 10.0, .steps = steps});
  for (bool goes_on = true; goes_on;) {
    const double x = std::log10(curve.next_lr());
    const double rise = x > -1.0 ? 3.0 * (x + 1.0) : 0.0;
    goes_on = curve.add(0.3 + 0.4 / (1.0 + std::exp(4.0 * (x + 3.0))) + rise);
  }
  return curve;
}

TEST(FindLr, TheLearningRateGrowsByTheSameFactorToTheLast) {
  LrCurve curve({.from = 1e-4, .to = 1.0, .steps = 41});
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(curve.add(0.7));
  EXPECT_FALSE(curve.add(0.7));
  EXPECT_EQ(curve.end(), LrCurve::End::all_steps);
  EXPECT_EQ(curve.lr().front(), 1e-4);
  EXPECT_NEAR(curve.lr()[10], 1e-3, 1e-12);
  EXPECT_NEAR(curve.lr().back(), 1.0, 1e-12);
}

TEST(FindLr, TheAverageIsCorrectedForItsBeginning) {
  LrCurve curve({.from = 1e-4, .to = 1.0, .steps = 100});  // decay 0.8
  curve.add(1.0);
  curve.add(2.0);
  EXPECT_NEAR(curve.smoothed()[0], 1.0, 1e-12);
  EXPECT_NEAR(curve.smoothed()[1], (0.8 * 1.0 + 2.0) / 1.8, 1e-12);
}

TEST(FindLr, EndsWhereTheLossDivergesOrIsNoNumber) {
  LrCurve curve({.from = 1e-4, .to = 1.0, .steps = 100});
  EXPECT_TRUE(curve.add(1.0));
  EXPECT_TRUE(curve.add(4.0));  // the average is below 4
  EXPECT_FALSE(curve.add(30.0));
  EXPECT_EQ(curve.end(), LrCurve::End::diverged);
  for (const double loss : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    LrCurve other({.from = 1e-4, .to = 1.0, .steps = 100});
    EXPECT_TRUE(other.add(1.0));
    EXPECT_FALSE(other.add(loss));
    EXPECT_EQ(other.end(), LrCurve::End::not_finite);
    EXPECT_EQ(other.lr().size(), 1U) << "no point is kept of it";
  }
}

TEST(FindLr, SuggestsTheSteepestFallAndATenthOfTheLowest) {
  const LrCurve curve = made_curve(800);
  EXPECT_EQ(curve.end(), LrCurve::End::diverged);
  const LrSuggestion found = suggest_lr(curve);
  // At 1e-3, but for what the average remembers: 40 steps, 0.4 decades.
  ASSERT_TRUE(found.steepest.has_value());
  EXPECT_GT(std::log10(*found.steepest), -3.0);
  EXPECT_LT(std::log10(*found.steepest), -2.5);
  EXPECT_NEAR(std::log10(found.lowest), -1.0, 0.3);
  EXPECT_NEAR(found.lowest_loss, 0.3, 0.02);
  EXPECT_EQ(found.tenth(), found.lowest / 10.0);
  EXPECT_EQ(found.careful(), std::min(*found.steepest, found.tenth()));
}

TEST(FindLr, SuggestsNoFallWhereThereIsNone) {
  LrCurve rising({.from = 1e-4, .to = 1.0, .steps = 50});
  for (double loss = 0.5; rising.add(loss); loss += 0.001) {
  }
  const LrSuggestion found = suggest_lr(rising);
  EXPECT_FALSE(found.steepest.has_value());
  EXPECT_EQ(found.careful(), found.tenth());
  LrCurve early({.from = 1e-4, .to = 1.0, .steps = 50});
  early.add(1.0);
  early.add(std::nan(""));
  EXPECT_EQ(error_of([&] { suggest_lr(early); }),
            "the loss was no number after 1 steps, too few to find a learning rate: set a smaller "
            "--from");
}

TEST(FindLr, OptionsThatMakeNoTestAreRefused) {
  const auto error = [](double from, double to, std::int64_t steps) {
    return error_of([&] { check_find_lr({.from = from, .to = to, .steps = steps}); });
  };
  EXPECT_EQ(error(1e-7, 10.0, 100), "");
  EXPECT_EQ(error(0.0, 10.0, 100), "--from must be a positive learning rate, not 0");
  EXPECT_EQ(error(1e-3, 1e-3, 100), "--to must be a learning rate above --from 0.001, not 0.001");
  EXPECT_EQ(error(1e-7, 10.0, 39), "--steps must be 40 to 100000, not 39");
  EXPECT_EQ(error_of([] { check_picture_path("lr.jpg"); }),
            "lr.jpg: a picture's name must end with .png or .svg");
  EXPECT_EQ(error_of([] { check_picture_path("nowhere/lr.png"); }),
            "nowhere/lr.png cannot be written: there is no folder nowhere");
}

TEST(FindLr, TrainsAsFitDoesOverAsManyEpochsAsItTakes) {
  const FindLrOptions options{.from = 1e-6, .to = 1e-3, .steps = 40};
  RunConfig config = config_for();
  const LrCurve curve = find_lr(config, options, true);
  EXPECT_EQ(curve.lr().size(), 40U) << "an epoch has three steps";
  EXPECT_LT(suggest_lr(curve).lowest_loss, curve.loss().front());
  EXPECT_EQ(find_lr(config, options, true).loss(), curve.loss()) << "the seed decides all";
  config.train.seed = 1;
  EXPECT_NE(find_lr(config, options, true).loss(), curve.loss());
  config.train.seed = 0;
  config.data.standardize = "lead";
  EXPECT_NE(find_lr(config, options, true).loss(), curve.loss());
  config.data.standardize = "none";
  config.train.pos_weight = "balanced";
  EXPECT_NE(find_lr(config, options, true).loss(), curve.loss());
  config.model.name = "dcgan";
  EXPECT_EQ(error_of([&] { find_lr(config, options, true); }),
            "model \"dcgan\" has no loss whose fall could be followed: set train.lr by hand");
}

TEST(FindLr, ThePictureNamesBothLearningRates) {
  const TempFolder folder;
  const LrCurve curve = made_curve(100);
  try {
    plot_lr(folder / "lr.svg", "a test of mine", curve, suggest_lr(curve));
  } catch (const DeviceError& error) {
    GTEST_SKIP() << error.what();
  }
  const std::string svg = read_file(folder / "lr.svg");
  for (const char* text :
       {"a test of mine", "steepest:", "lowest / 10:", "learning rate", "smoothed"}) {
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace cardiograd
