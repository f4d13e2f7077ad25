#include "trainer/curves.h"

#include <gtest/gtest.h>
#include <vector>

#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using cardiograd::testing::error_of;

const std::vector<double> labels{1, 0, 1, 0};
const std::vector<double> values{.9, .7, .7, .1};

TEST(Curves, RocHasOnePointADistinctScore) {
  const Curve curve = roc_curve(labels, values);
  EXPECT_EQ(curve.x, (std::vector<double>{0, 0, 0.5, 1}));
  EXPECT_EQ(curve.y, (std::vector<double>{0, 0.5, 1, 1}));
}

TEST(Curves, PrecisionRecallStartsWithTheHighestScoresPrecision) {
  const Curve curve = precision_recall_curve(labels, values);
  EXPECT_EQ(curve.x, (std::vector<double>{0, 0.5, 1, 1}));
  EXPECT_EQ(curve.y, (std::vector<double>{1, 1, 2.0 / 3.0, 0.5}));
}

TEST(Curves, AreEmptyForOneKindOfLabel) {
  const std::vector<double> ones{1, 1, 1, 1};
  EXPECT_TRUE(roc_curve(ones, values).x.empty());
  EXPECT_TRUE(precision_recall_curve(ones, values).x.empty());
}

TEST(Curves, MeanInterpolatesEachCurveAndTakesTheHighestWhereXRepeats) {
  const std::vector<Curve> curves{{{0, 0, 1}, {0, 0.5, 1}}, {{0, 1}, {0, 1}}, {}};
  const Curve mean = mean_curve(curves, 3);
  EXPECT_EQ(mean.x, (std::vector<double>{0, 0.5, 1}));
  EXPECT_EQ(mean.y, (std::vector<double>{0.25, (0.75 + 0.5) / 2, 1}));
  EXPECT_TRUE(mean_curve(std::vector<Curve>{{}}, 3).x.empty());
}

TEST(Curves, CalibrationComparesProbabilityWithFrequency) {
  const std::vector<double> probabilities{0.1, 0.3, 1.0, 0.75};
  const Calibration calibration = calibrate(std::vector<double>{0, 1, 1, 0}, probabilities, 2);
  EXPECT_EQ(calibration.counts, (std::vector<std::int64_t>{2, 2}));
  EXPECT_DOUBLE_EQ(calibration.confidence[0], 0.2);
  EXPECT_DOUBLE_EQ(calibration.frequency[0], 0.5);
  EXPECT_DOUBLE_EQ(calibration.confidence[1], 0.875);
  EXPECT_DOUBLE_EQ(calibration.expected_error, (0.3 * 2 + 0.375 * 2) / 4);
  EXPECT_DOUBLE_EQ(calibration.brier, (0.01 + 0.49 + 0.0 + 0.5625) / 4);
}

TEST(Curves, ConfusionCountsAScoreAtTheThresholdAsPositive) {
  const std::vector<double> targets{1, 1, 0, 0, 0, 1};
  const Confusion counts = confusion_counts(targets, std::vector<double>{.5, .4, .5, .1, .2, .9});
  EXPECT_EQ(counts.true_positives, 2);
  EXPECT_EQ(counts.false_negatives, 1);
  EXPECT_EQ(counts.false_positives, 1);
  EXPECT_EQ(counts.true_negatives, 2);
}

TEST(Curves, CalibrationRefusesWhatIsNoProbability) {
  EXPECT_EQ(error_of([] {
              calibrate(std::vector<double>{0, 1}, std::vector<double>{0.5, 1.5});
            }),
            "calibration needs probabilities, but value 1 is 1.500000");
}

}  // namespace
}  // namespace cardiograd
