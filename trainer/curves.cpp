#include "trainer/curves.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "kernels/error.h"
#include "trainer/metrics.h"

namespace cardiograd {
namespace {

struct Counts {
  double true_positives = 0.0;
  double false_positives = 0.0;
};

// Cumulative counts at each distinct score, from the highest down; empty when one kind of label is
// missing.
std::vector<Counts> cumulative_counts(std::span<const double> targets,
                                      std::span<const double> scores) {
  CG_CHECK(targets.size() == scores.size(), "targets and scores differ in length");
  std::vector<Counts> steps;
  Counts now;
  const std::vector<std::int32_t> order = falling_order(scores);
  for (std::size_t at = 0; at < order.size(); ++at) {
    const auto record = static_cast<std::size_t>(order[at]);
    (targets[record] == 1.0 ? now.true_positives : now.false_positives) += 1.0;
    const bool ends_tie =
        at + 1 == order.size() || scores[static_cast<std::size_t>(order[at + 1])] != scores[record];
    if (ends_tie) steps.push_back(now);
  }
  if (now.true_positives == 0.0 || now.false_positives == 0.0) steps.clear();
  return steps;
}

// The curve at x, which never falls from call to call; `at` remembers the place between calls.
double interpolate(const Curve& curve, double x, std::size_t& at) {
  while (at + 1 < curve.x.size() && curve.x[at + 1] <= x) ++at;
  if (at + 1 == curve.x.size() || x <= curve.x[at]) {
    double highest = curve.y[at];
    for (std::size_t same = at; same > 0 && curve.x[same - 1] == curve.x[at]; --same) {
      highest = std::max(highest, curve.y[same - 1]);
    }
    return highest;
  }
  const double share = (x - curve.x[at]) / (curve.x[at + 1] - curve.x[at]);
  return std::lerp(curve.y[at], curve.y[at + 1], share);
}

}  // namespace

Curve roc_curve(std::span<const double> targets, std::span<const double> scores) {
  const auto steps = cumulative_counts(targets, scores);
  if (steps.empty()) return {};
  Curve curve{{0.0}, {0.0}};
  for (const Counts& step : steps) {
    curve.x.push_back(step.false_positives / steps.back().false_positives);
    curve.y.push_back(step.true_positives / steps.back().true_positives);
  }
  return curve;
}

Curve precision_recall_curve(std::span<const double> targets, std::span<const double> scores) {
  const auto steps = cumulative_counts(targets, scores);
  Curve curve;
  for (const Counts& step : steps) {
    const double precision = step.true_positives / (step.true_positives + step.false_positives);
    if (curve.x.empty()) {
      curve.x.push_back(0.0);
      curve.y.push_back(precision);
    }
    curve.x.push_back(step.true_positives / steps.back().true_positives);
    curve.y.push_back(precision);
  }
  return curve;
}

Curve mean_curve(std::span<const Curve> curves, int points) {
  CG_CHECK(points >= 2, "a mean curve needs at least two points");
  Curve mean;
  for (int i = 0; i < points; ++i) mean.x.push_back(static_cast<double>(i) / (points - 1));
  mean.y.assign(mean.x.size(), 0.0);
  double used = 0.0;
  for (const Curve& curve : curves) {
    if (curve.x.empty()) continue;
    used += 1.0;
    std::size_t at = 0;
    for (std::size_t i = 0; i < mean.x.size(); ++i) {
      mean.y[i] += interpolate(curve, mean.x[i], at);
    }
  }
  if (used == 0.0) return {};
  for (double& value : mean.y) value /= used;
  return mean;
}

Calibration calibrate(std::span<const double> targets, std::span<const double> probabilities,
                      int bins) {
  CG_CHECK(targets.size() == probabilities.size(), "targets and probabilities differ in length");
  CG_CHECK(bins >= 1, "calibration needs at least one bin");
  Calibration result;
  const auto size = static_cast<std::size_t>(bins);
  result.confidence.assign(size, 0.0);
  result.frequency.assign(size, 0.0);
  result.counts.assign(size, 0);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const double probability = probabilities[i];
    if (!(probability >= 0.0 && probability <= 1.0)) {
      throw InputError("calibration needs probabilities, but value " + std::to_string(i) + " is " +
                       std::to_string(probability));
    }
    const auto bin = std::min(static_cast<std::size_t>(probability * bins), size - 1);
    result.confidence[bin] += probability;
    result.frequency[bin] += targets[i];
    result.brier += (probability - targets[i]) * (probability - targets[i]) /
                    static_cast<double>(targets.size());
    ++result.counts[bin];
  }
  for (std::size_t bin = 0; bin < size; ++bin) {
    if (result.counts[bin] == 0) continue;
    const auto count = static_cast<double>(result.counts[bin]);
    result.expected_error += std::abs(result.confidence[bin] - result.frequency[bin]) /
                             static_cast<double>(targets.size());
    result.confidence[bin] /= count;
    result.frequency[bin] /= count;
  }
  return result;
}

Confusion confusion_counts(std::span<const double> targets, std::span<const double> scores,
                           double threshold) {
  CG_CHECK(targets.size() == scores.size(), "targets and scores differ in length");
  Confusion counts;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const bool said = scores[i] >= threshold;
    if (targets[i] == 1.0) {
      ++(said ? counts.true_positives : counts.false_negatives);
    } else {
      ++(said ? counts.false_positives : counts.true_negatives);
    }
  }
  return counts;
}

}  // namespace cardiograd
