// How good predictions are: the figures that `trainer` reports at the end of a run and
// `cardiograd score` computes for anyone's predictions.
//
// AUROC is the Mann-Whitney statistic with mid-ranks for ties (Hanley & McNeil 1982), AUPRC is
// average precision, the step-wise sum of precision times the gain in recall with ties grouped.
// Both agree with scikit-learn's roc_auc_score and average_precision_score.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cardiograd {

// A view of what is scored; nothing is owned.
struct Predictions {
  std::int64_t records = 0;
  std::span<const std::string> class_names;  // one a class
  std::span<const double> targets;           // [records, classes], 0 or 1
  std::span<const double> scores;            // [records, classes], higher means more likely

  std::int64_t classes() const { return static_cast<std::int64_t>(class_names.size()); }
  // Throws ShapeError when sizes do not fit, InputError (with row and column, from 0) for a NaN
  // score or a target that is neither 0 nor 1, InputError when there is no record or no class.
  void check() const;
};

// Mean and 5 % and 95 % quantiles (linear interpolation, NumPy's default) over resamples.
struct Interval {
  double mean = 0.0;
  double q05 = 0.0;
  double q95 = 0.0;
};

struct ClassMetrics {
  std::string name;
  std::optional<double> auroc;  // absent when all labels of the class are equal
  std::optional<double> auprc;  // likewise
  std::optional<double> f1;     // absent when nothing is positive and nothing is predicted so
  std::int64_t positives = 0;
  std::int64_t negatives = 0;
  std::optional<Interval> auroc_interval;  // from the bootstrap, when there was one
};

// Uncertainty of the macro AUROC, over resamples of the records.
struct Bootstrap {
  Interval macro_auroc;
  std::int64_t resamples = 0;  // those in which at least one class has both kinds of label
  std::vector<std::optional<Interval>> classes;  // AUROC of each class
};

struct Metrics {
  std::int64_t records = 0;
  // Means over the classes that have both kinds of label; absent when there is no such class.
  std::optional<double> macro_auroc;
  std::optional<double> macro_auprc;
  std::optional<double> macro_f1;
  // Share of records whose highest score (the first among equals) belongs to one of their true
  // labels; a record without labels counts as a miss.
  double hit_rate = 0.0;
  std::vector<ClassMetrics> classes;
  std::vector<std::string> undefined;  // names of the classes left out of the means
  std::optional<Bootstrap> bootstrap;

  // Keeps `result` and copies its intervals to the classes.
  void set_bootstrap(Bootstrap result);
};

// F1 calls a class positive where its score is at least its threshold: 0.5 everywhere, or one
// threshold a class. Checks the predictions first.
Metrics evaluate(const Predictions& predictions, std::span<const double> thresholds = {});

// One class: targets and scores [records]. Absent when all targets are equal.
std::optional<double> auroc(std::span<const double> targets, std::span<const double> scores);
std::optional<double> average_precision(std::span<const double> targets,
                                        std::span<const double> scores);

// Column `index` of a row-major [records, classes] matrix.
std::vector<double> class_column(std::span<const double> matrix, std::int64_t classes,
                                 std::int64_t index);

// Record numbers [records] by falling score, equal scores in record order.
std::vector<std::int32_t> falling_order(std::span<const double> scores);

}  // namespace cardiograd
