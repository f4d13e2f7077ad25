#include "trainer/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <utility>

#include "kernels/error.h"

namespace cardiograd {
namespace {

// Calls visit(positives, negatives) for each group of equal scores, from the highest score down.
template <class Visit>
void for_each_tie(std::span<const double> targets, std::span<const double> scores, Visit visit) {
  const std::vector<std::int32_t> order = falling_order(scores);
  std::size_t at = 0;
  while (at < order.size()) {
    const double score = scores[static_cast<std::size_t>(order[at])];
    std::int64_t positives = 0;
    std::int64_t negatives = 0;
    for (; at < order.size() && scores[static_cast<std::size_t>(order[at])] == score; ++at) {
      ++(targets[static_cast<std::size_t>(order[at])] == 1.0 ? positives : negatives);
    }
    visit(positives, negatives);
  }
}

struct Ranking {
  std::optional<double> auroc;
  std::optional<double> auprc;
};

Ranking rank(std::span<const double> targets, std::span<const double> scores) {
  CG_CHECK(targets.size() == scores.size(), "targets and scores differ in length");
  std::int64_t true_positives = 0;
  std::int64_t false_positives = 0;
  // Pairs (positive, negative) in the right order, twice, so that half a pair for a tie stays an
  // integer and the sum is exact.
  std::int64_t twice_pairs = 0;
  double precision_sum = 0.0;
  for_each_tie(targets, scores, [&](std::int64_t positives, std::int64_t negatives) {
    twice_pairs += negatives * (2 * true_positives + positives);
    true_positives += positives;
    false_positives += negatives;
    precision_sum += static_cast<double>(positives) * static_cast<double>(true_positives) /
                     static_cast<double>(true_positives + false_positives);
  });
  if (true_positives == 0 || false_positives == 0) return {};
  const double pairs = static_cast<double>(true_positives) * static_cast<double>(false_positives);
  return {static_cast<double>(twice_pairs) / (2.0 * pairs),
          precision_sum / static_cast<double>(true_positives)};
}

ClassMetrics evaluate_class(const Predictions& predictions, std::int64_t index, double threshold) {
  const auto targets = class_column(predictions.targets, predictions.classes(), index);
  const auto scores = class_column(predictions.scores, predictions.classes(), index);
  ClassMetrics metrics;
  metrics.name = predictions.class_names[static_cast<std::size_t>(index)];
  std::int64_t true_positives = 0;
  std::int64_t predicted = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const bool positive = targets[i] == 1.0;
    const bool called = scores[i] >= threshold;
    metrics.positives += positive;
    predicted += called;
    true_positives += positive && called;
  }
  metrics.negatives = predictions.records - metrics.positives;
  if (metrics.positives + predicted > 0) {
    metrics.f1 = 2.0 * static_cast<double>(true_positives) /
                 static_cast<double>(metrics.positives + predicted);
  }
  const Ranking ranking = rank(targets, scores);
  metrics.auroc = ranking.auroc;
  metrics.auprc = ranking.auprc;
  return metrics;
}

double hit_rate(const Predictions& predictions) {
  const auto classes = static_cast<std::size_t>(predictions.classes());
  std::int64_t hits = 0;
  for (std::size_t at = 0; at < predictions.scores.size(); at += classes) {
    const auto row = predictions.scores.subspan(at, classes);
    const auto highest = std::max_element(row.begin(), row.end()) - row.begin();
    hits += predictions.targets[at + static_cast<std::size_t>(highest)] == 1.0;
  }
  return static_cast<double>(hits) / static_cast<double>(predictions.records);
}

void set_macro_means(Metrics& metrics) {
  double auroc_sum = 0.0;
  double auprc_sum = 0.0;
  double f1_sum = 0.0;
  std::size_t defined = 0;
  for (const ClassMetrics& one : metrics.classes) {
    if (!one.auroc) {
      metrics.undefined.push_back(one.name);
      continue;
    }
    auroc_sum += *one.auroc;
    auprc_sum += *one.auprc;
    f1_sum += *one.f1;
    ++defined;
  }
  if (defined == 0) return;
  const auto count = static_cast<double>(defined);
  metrics.macro_auroc = auroc_sum / count;
  metrics.macro_auprc = auprc_sum / count;
  metrics.macro_f1 = f1_sum / count;
}

std::string place(std::size_t at, std::size_t classes) {
  return "row " + std::to_string(at / classes) + ", column " + std::to_string(at % classes);
}

}  // namespace

void Predictions::check() const {
  if (records <= 0 || class_names.empty()) {
    throw InputError("there is nothing to score: got " + std::to_string(records) + " records of " +
                     std::to_string(class_names.size()) + " classes");
  }
  const auto classes = class_names.size();
  const auto elements = static_cast<std::size_t>(records) * classes;
  CG_CHECK(records <= std::numeric_limits<std::int32_t>::max() / 2,
           "at most 2^30 records can be scored at once, not " + std::to_string(records));
  CG_CHECK(targets.size() == elements && scores.size() == elements,
           "targets and scores must both hold " + std::to_string(records) + " x " +
               std::to_string(classes) + " values");
  for (std::size_t at = 0; at < elements; ++at) {
    if (targets[at] != 0.0 && targets[at] != 1.0) {
      throw InputError("the target in " + place(at, classes) + " is neither 0 nor 1");
    }
    if (std::isnan(scores[at])) {
      throw InputError("the score in " + place(at, classes) + " is not a number (NaN)");
    }
  }
}

void Metrics::set_bootstrap(Bootstrap result) {
  CG_CHECK(result.classes.size() == classes.size(), "the bootstrap is of other classes");
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i].auroc_interval = result.classes[i];
  bootstrap = std::move(result);
}

Metrics evaluate(const Predictions& predictions, std::span<const double> thresholds) {
  predictions.check();
  const std::int64_t classes = predictions.classes();
  CG_CHECK(thresholds.empty() || static_cast<std::int64_t>(thresholds.size()) == classes,
           "there must be one threshold a class");
  Metrics metrics;
  metrics.records = predictions.records;
  metrics.hit_rate = hit_rate(predictions);
  metrics.classes.resize(static_cast<std::size_t>(classes));
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < classes; ++i) {
    const auto at = static_cast<std::size_t>(i);
    metrics.classes[at] = evaluate_class(predictions, i, thresholds.empty() ? 0.5 : thresholds[at]);
  }
  set_macro_means(metrics);
  return metrics;
}

std::optional<double> auroc(std::span<const double> targets, std::span<const double> scores) {
  return rank(targets, scores).auroc;
}

std::optional<double> average_precision(std::span<const double> targets,
                                        std::span<const double> scores) {
  return rank(targets, scores).auprc;
}

std::vector<double> class_column(std::span<const double> matrix, std::int64_t classes,
                                 std::int64_t index) {
  std::vector<double> column;
  column.reserve(matrix.size() / static_cast<std::size_t>(classes));
  for (auto at = static_cast<std::size_t>(index); at < matrix.size();
       at += static_cast<std::size_t>(classes)) {
    column.push_back(matrix[at]);
  }
  return column;
}

std::vector<std::int32_t> falling_order(std::span<const double> scores) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    const double left = scores[static_cast<std::size_t>(a)];
    const double right = scores[static_cast<std::size_t>(b)];
    return left != right ? left > right : a < b;
  });
  return order;
}

}  // namespace cardiograd
