#include "trainer/bootstrap.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "kernels/philox.h"
#include "tests/support/random_values.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using cardiograd::testing::error_of;
using cardiograd::testing::uniform_values;

const std::vector<std::string> two_names{"A", "B"};

struct Sample {
  std::int64_t records = 0;
  std::vector<double> targets;
  std::vector<double> scores;
  Predictions predictions() const { return {records, two_names, targets, scores}; }
};

// Class A is frequent, B rare; scores are coarse, so that ties are common.
Sample make_sample(std::int64_t records) {
  Sample sample{records, uniform_values(2 * records, 0.0, 1.0, 1),
                uniform_values(2 * records, 0.0, 1.0, 2)};
  for (std::size_t i = 0; i < sample.targets.size(); ++i) {
    sample.targets[i] = sample.targets[i] < (i % 2 == 0 ? 0.4 : 0.05) ? 1.0 : 0.0;
    sample.scores[i] =
        static_cast<double>(static_cast<int>(20 * sample.scores[i] + 4 * sample.targets[i]));
  }
  return sample;
}

// Macro AUROC of the drawn records, repeats and all, without any shortcut.
double direct_macro(const Sample& sample, std::span<const std::int32_t> ids) {
  Sample drawn{static_cast<std::int64_t>(ids.size()), {}, {}};
  for (const std::int32_t id : ids) {
    for (std::size_t i = 0; i < 2; ++i) {
      drawn.targets.push_back(sample.targets[2 * static_cast<std::size_t>(id) + i]);
      drawn.scores.push_back(sample.scores[2 * static_cast<std::size_t>(id) + i]);
    }
  }
  return *evaluate(drawn.predictions()).macro_auroc;
}

TEST(Bootstrap, OfEveryRecordOnceIsThePlainAuroc) {
  const Sample sample = make_sample(150);
  std::vector<std::int32_t> ids(3 * 150);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i % 150);
  const Metrics metrics = evaluate(sample.predictions());
  const Bootstrap bootstrap = *bootstrap_auroc(sample.predictions(), ids, 3);
  EXPECT_EQ(bootstrap.resamples, 3);
  EXPECT_DOUBLE_EQ(bootstrap.macro_auroc.mean, *metrics.macro_auroc);
  EXPECT_DOUBLE_EQ(bootstrap.macro_auroc.q05, *metrics.macro_auroc);
  EXPECT_DOUBLE_EQ(bootstrap.macro_auroc.q95, *metrics.macro_auroc);
  EXPECT_DOUBLE_EQ(bootstrap.classes[1]->mean, *metrics.classes[1].auroc);
}

TEST(Bootstrap, EqualsScoringEachResampleByItself) {
  const Sample sample = make_sample(97);
  // 11 resamples: one full group of lanes and a part of another. Sizes differ from the records'.
  std::vector<std::int32_t> ids;
  for (const double value : uniform_values(11 * 60, 0.0, 97.0, 5)) {
    ids.push_back(static_cast<std::int32_t>(value));
  }
  std::vector<double> direct;
  for (std::size_t b = 0; b < 11; ++b) {
    direct.push_back(direct_macro(sample, std::span(ids).subspan(b * 60, 60)));
  }
  const Bootstrap bootstrap = *bootstrap_auroc(sample.predictions(), ids, 11);
  EXPECT_NEAR(bootstrap.macro_auroc.mean, std::accumulate(direct.begin(), direct.end(), 0.0) / 11.0,
              1e-14);
  std::sort(direct.begin(), direct.end());
  // Position 0.05 * 10 = 0.5 lies half way between the two lowest, 9.5 between the two highest.
  EXPECT_NEAR(bootstrap.macro_auroc.q05, (direct[0] + direct[1]) / 2, 1e-14);
  EXPECT_NEAR(bootstrap.macro_auroc.q95, (direct[9] + direct[10]) / 2, 1e-14);
}

TEST(Bootstrap, LeavesAClassOutOfAResampleWithOneKindOfItsLabels) {
  const std::vector<double> targets{1, 1, 0, 0, 1, 0};  // rows (A, B): (1,1) (0,0) (1,0)
  const std::vector<double> scores{.9, .9, .1, .1, .05, .5};
  const Predictions predictions{3, two_names, targets, scores};
  // Resample 0 has no positive of B: A alone counts, 0.05 against 0.1, AUROC 0. Resample 1 is one
  // record thrice, in which nothing is defined.
  const std::vector<std::int32_t> ids{1, 2, 2, 0, 0, 0};
  const Bootstrap bootstrap = *bootstrap_auroc(predictions, ids, 2);
  EXPECT_EQ(bootstrap.resamples, 1);
  EXPECT_DOUBLE_EQ(bootstrap.macro_auroc.mean, 0.0);
  EXPECT_FALSE(bootstrap.classes[1]);
  EXPECT_FALSE(bootstrap_auroc(predictions, std::vector<std::int32_t>{0, 0}, 1));
}

TEST(Bootstrap, RefusesARecordThatDoesNotExist) {
  const Sample sample = make_sample(10);
  const std::vector<std::int32_t> high{0, 1, 2, 10};
  EXPECT_EQ(error_of([&] { bootstrap_auroc(sample.predictions(), high, 2); }),
            "the bootstrap id in row 1, column 1 is 10, but the records are numbered 0 to 9");
  const std::vector<std::int32_t> negative{-1, 1};
  EXPECT_EQ(error_of([&] { bootstrap_auroc(sample.predictions(), negative, 2); }),
            "the bootstrap id in row 0, column 0 is -1, but the records are numbered 0 to 9");
  EXPECT_EQ(error_of([&] { bootstrap_auroc(sample.predictions(), 100'001, std::uint64_t{0}); }),
            "the number of bootstrap resamples must be 1 to 100000, not 100001");
}

TEST(Bootstrap, DrawsTheDocumentedRecords) {
  const Sample sample = make_sample(123);
  std::vector<std::int32_t> ids;
  const RandomKey key{77, 0, 0x424f4f54};
  for (std::uint32_t b = 0; b < 20; ++b) {
    for (std::uint32_t i = 0; i < 123; ++i) {
      const std::uint64_t word = key.draw(b, i / 4)[i % 4];
      ids.push_back(static_cast<std::int32_t>(word * 123 >> 32));
    }
  }
  const Bootstrap given = *bootstrap_auroc(sample.predictions(), ids, 20);
  const Bootstrap drawn = *bootstrap_auroc(sample.predictions(), 20, std::uint64_t{77});
  EXPECT_EQ(drawn.macro_auroc.mean, given.macro_auroc.mean);
  EXPECT_EQ(drawn.macro_auroc.q05, given.macro_auroc.q05);
  const Bootstrap other = *bootstrap_auroc(sample.predictions(), 20, std::uint64_t{78});
  EXPECT_NE(other.macro_auroc.mean, given.macro_auroc.mean);
}

TEST(Bootstrap, LiesAroundThePlainAuroc) {
  const Sample sample = make_sample(400);
  const Metrics metrics = evaluate(sample.predictions());
  const Bootstrap bootstrap = *bootstrap_auroc(sample.predictions(), 500, std::uint64_t{0});
  EXPECT_NEAR(bootstrap.macro_auroc.mean, *metrics.macro_auroc, 0.01);
  EXPECT_LT(bootstrap.macro_auroc.q05, *metrics.macro_auroc);
  EXPECT_GT(bootstrap.macro_auroc.q95, *metrics.macro_auroc);
}

}  // namespace
}  // namespace cardiograd
