// The figures against hand-computed values and against their definitions.
#include "trainer/metrics.h"

#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "tests/support/random_values.h"
#include "tests/support/temp_folder.h"
#include "trainer/metrics_report.h"

namespace cardiograd {
namespace {

using cardiograd::testing::error_of;
using cardiograd::testing::uniform_values;

// The definition: how often a positive outranks a negative, a tie counting half.
double pairwise_auroc(const std::vector<double>& targets, const std::vector<double>& scores) {
  double won = 0.0;
  double pairs = 0.0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    for (std::size_t j = 0; j < targets.size(); ++j) {
      if (targets[i] != 1.0 || targets[j] != 0.0) continue;
      pairs += 1.0;
      won += scores[i] > scores[j] ? 1.0 : scores[i] == scores[j] ? 0.5 : 0.0;
    }
  }
  return won / pairs;
}

// 0 or 1, 1 with the given probability.
std::vector<double> random_labels(std::int64_t count, double share, std::uint64_t seed) {
  std::vector<double> labels = uniform_values(count, 0.0, 1.0, seed);
  for (double& label : labels) label = label < share ? 1.0 : 0.0;
  return labels;
}

const std::vector<std::string> three_names{"A", "B", "C"};
// Class A: AUROC 3/4 with one tie in the wrong half; B: all labels 0; C: perfect.
const std::vector<double> targets{1, 0, 1,  //
                                  0, 0, 0,  //
                                  1, 0, 0,  //
                                  0, 0, 0};
const std::vector<double> scores{0.9, 0.1, 0.8,  //
                                 0.4, 0.7, 0.2,  //
                                 0.4, 0.6, 0.1,  //
                                 0.7, 0.2, 0.3};
const Predictions example{4, three_names, targets, scores};

TEST(Auroc, CountsATieAsHalfAPair) {
  // Pairs of A: 0.9 beats 0.4 and 0.7; 0.4 ties with 0.4 and loses to 0.7: 2.5 of 4.
  EXPECT_DOUBLE_EQ(*auroc(std::vector<double>{1, 0, 1, 0}, std::vector<double>{.9, .4, .4, .7}),
                   0.625);
}

TEST(Auroc, IsOneZeroOrHalfAtTheExtremes) {
  const std::vector<double> labels{0, 0, 1, 1};
  EXPECT_EQ(*auroc(labels, std::vector<double>{1, 2, 3, 4}), 1.0);
  EXPECT_EQ(*auroc(labels, std::vector<double>{4, 3, 2, 1}), 0.0);
  EXPECT_EQ(*auroc(labels, std::vector<double>{5, 5, 5, 5}), 0.5);
}

TEST(Auroc, EqualsTheCountOfPairs) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto labels = random_labels(211, 0.1 + 0.04 * static_cast<double>(seed), seed);
    auto values = uniform_values(211, 0.0, 1.0, seed + 100);
    // Every second round has many ties.
    if (seed % 2 == 0) {
      for (double& value : values) value = static_cast<double>(static_cast<int>(value * 7));
    }
    EXPECT_NEAR(*auroc(labels, values), pairwise_auroc(labels, values), 1e-14) << seed;
  }
}

TEST(Auroc, IsAbsentForOneKindOfLabel) {
  EXPECT_FALSE(auroc(std::vector<double>{1, 1}, std::vector<double>{0.1, 0.2}));
  EXPECT_FALSE(average_precision(std::vector<double>{0, 0}, std::vector<double>{0.1, 0.2}));
}

TEST(AveragePrecision, SumsPrecisionOverTheGainsInRecall) {
  // By falling score: 1 (P 1), 0, 1 (P 2/3): (1 + 2/3) / 2.
  EXPECT_DOUBLE_EQ(
      *average_precision(std::vector<double>{1, 0, 1, 0}, std::vector<double>{.9, .8, .7, .1}),
      5.0 / 6.0);
  // The tie of a positive and a negative is one step: recall 1/2 at P 1, recall 1 at P 2/3.
  EXPECT_DOUBLE_EQ(
      *average_precision(std::vector<double>{1, 0, 1, 0}, std::vector<double>{.9, .7, .7, .1}),
      5.0 / 6.0);
  // All equal: the share of positives.
  EXPECT_DOUBLE_EQ(*average_precision(std::vector<double>{1, 0, 0, 0, 0},
                                      std::vector<double>{.5, .5, .5, .5, .5}),
                   0.2);
}

TEST(Evaluate, LeavesAClassWithOneKindOfLabelOutByName) {
  const Metrics metrics = evaluate(example);
  EXPECT_EQ(metrics.undefined, std::vector<std::string>{"B"});
  EXPECT_DOUBLE_EQ(*metrics.classes[0].auroc, 0.625);
  EXPECT_FALSE(metrics.classes[1].auroc);
  EXPECT_DOUBLE_EQ(*metrics.classes[2].auroc, 1.0);
  EXPECT_DOUBLE_EQ(*metrics.macro_auroc, (0.625 + 1.0) / 2);
  EXPECT_DOUBLE_EQ(*metrics.macro_f1, (0.5 + 1.0) / 2);
  EXPECT_EQ(metrics.classes[0].positives, 2);
  EXPECT_EQ(metrics.classes[0].negatives, 2);
  EXPECT_EQ(metrics.classes[1].positives, 0);
}

TEST(Evaluate, F1TakesItsThresholdFromTheCaller) {
  // At 0.5, A calls records 0 and 3, one of them rightly; at 0.4 all four, two rightly.
  EXPECT_DOUBLE_EQ(*evaluate(example).classes[0].f1, 0.5);
  const std::vector<double> thresholds{0.4, 0.99, 0.81};
  const Metrics metrics = evaluate(example, thresholds);
  EXPECT_DOUBLE_EQ(*metrics.classes[0].f1, 2.0 * 2 / (2 + 4));
  EXPECT_FALSE(metrics.classes[1].f1) << "nothing is positive and nothing is called so";
  EXPECT_DOUBLE_EQ(*metrics.classes[2].f1, 0.0);
}

TEST(Evaluate, HitRateIsTheShareOfRecordsWhoseHighestScoreIsTrue) {
  // Records 0 hits with A; 1 and 3 have no label; 2's highest score is B's.
  EXPECT_DOUBLE_EQ(evaluate(example).hit_rate, 0.25);
}

TEST(Evaluate, WithoutAnyDefinedClassHasNoMeans) {
  const std::vector<std::string> names{"A"};
  const std::vector<double> labels{1, 1};
  const std::vector<double> values{0.2, 0.3};
  const Metrics metrics = evaluate({2, names, labels, values});
  EXPECT_FALSE(metrics.macro_auroc);
  EXPECT_TRUE(to_json(metrics)["macro_auroc"].is_null());
}

TEST(Evaluate, NamesTheRowAndColumnOfABadValue) {
  auto bad_scores = scores;
  bad_scores[7] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(error_of([&] {
              evaluate({4, three_names, targets, bad_scores});
            }),
            "the score in row 2, column 1 is not a number (NaN)");
  auto bad_targets = targets;
  bad_targets[5] = 0.5;
  EXPECT_EQ(error_of([&] {
              evaluate({4, three_names, bad_targets, scores});
            }),
            "the target in row 1, column 2 is neither 0 nor 1");
  EXPECT_EQ(error_of([&] {
              evaluate({0, three_names, {}, {}});
            }),
            "there is nothing to score: got 0 records of 3 classes");
  EXPECT_THROW(evaluate({5, three_names, targets, scores}), ShapeError);
}

TEST(MetricsReport, JsonHasEveryKeyAndNullForWhatIsAbsent) {
  const auto json = to_json(evaluate(example));
  for (const char* key :
       {"macro_auroc", "macro_auprc", "macro_f1", "hit_rate", "records", "classes", "undefined"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_FALSE(json.contains("bootstrap"));
  EXPECT_EQ(json["records"], 4);
  EXPECT_EQ(json["undefined"], nlohmann::ordered_json::parse(R"(["B"])"));
  EXPECT_EQ(json["classes"][1]["name"], "B");
  EXPECT_TRUE(json["classes"][1]["auroc"].is_null());
  EXPECT_EQ(json["classes"][0]["auroc"], 0.625);
  EXPECT_EQ(json["classes"][0]["positives"], 2);
}

TEST(MetricsReport, JsonCanBeWrittenWhateverTheNamesHold) {
  Metrics metrics = evaluate(example);
  metrics.classes[0].name = "caf\xE9";
  EXPECT_EQ(to_json(metrics)["classes"][0]["name"], "caf?");
  EXPECT_NO_THROW(to_json(metrics).dump());
}

TEST(MetricsReport, TableAlignsItsColumns) {
  Metrics metrics = evaluate(example);
  metrics.classes[0].name = "Größe";
  EXPECT_EQ(to_table(metrics),
            "records           4\n"
            "classes           3\n"
            "macro AUROC  0.8125\n"
            "macro AUPRC  0.8750\n"
            "macro F1     0.7500\n"
            "hit rate     0.2500\n"
            "\n"
            "class   AUROC   AUPRC      F1  positives  negatives\n"
            "Größe  0.6250  0.7500  0.5000          2          2\n"
            "B           -       -  0.0000          0          4\n"
            "C      1.0000  1.0000  1.0000          1          3\n"
            "\n"
            "left out of the macro means (one kind of label): B\n");
}

}  // namespace
}  // namespace cardiograd
