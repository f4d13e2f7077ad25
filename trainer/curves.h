// Curves behind the figures: what the pictures of a run draw.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cardiograd {

struct Curve {
  std::vector<double> x;
  std::vector<double> y;
};

// One class: targets (0 or 1) and scores [records]. One point a distinct score; without a positive
// or without a negative the curve is empty.
// x: false positive rate, y: true positive rate, from (0, 0) to (1, 1).
Curve roc_curve(std::span<const double> targets, std::span<const double> scores);
// x: recall, y: precision, by rising recall, from recall 0 with the precision of the highest score.
Curve precision_recall_curve(std::span<const double> targets, std::span<const double> scores);

// The mean of several curves at `points` evenly spaced x in [0, 1] (vertical averaging, Fawcett
// 2006), each interpolated linearly, its highest y taken where x repeats. Empty curves are left
// out.
Curve mean_curve(std::span<const Curve> curves, int points = 201);

// Reliability of probabilities (DeGroot & Fienberg 1983): `bins` bins of equal width over [0, 1],
// the last one closed.
struct Calibration {
  std::vector<double> confidence;    // mean predicted probability; 0 in an empty bin
  std::vector<double> frequency;     // share of positives; 0 in an empty bin
  std::vector<std::int64_t> counts;  // records in the bin
  double expected_error = 0.0;       // mean |confidence - frequency|, weighted by counts
  double brier = 0.0;                // mean (probability - target)^2 (Brier 1950)
};

// Any number of (target, probability) pairs. Throws InputError for a probability outside [0, 1].
Calibration calibrate(std::span<const double> targets, std::span<const double> probabilities,
                      int bins = 10);

// One class at a threshold: a score that is at least as high says yes.
struct Confusion {
  std::int64_t true_positives = 0;
  std::int64_t false_positives = 0;
  std::int64_t false_negatives = 0;
  std::int64_t true_negatives = 0;
};
Confusion confusion_counts(std::span<const double> targets, std::span<const double> scores,
                           double threshold = 0.5);

}  // namespace cardiograd
