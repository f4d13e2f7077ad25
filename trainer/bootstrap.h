// Confidence intervals of the macro AUROC by resampling records (Efron 1979).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "trainer/metrics.h"

namespace cardiograd {

// Resample b consists of the records ids[b * size .. (b + 1) * size), repeats included. A class
// that has one kind of label in a resample is left out of that resample's mean. Absent when no
// class is defined in any resample. An id outside [0, records) throws InputError naming its row and
// column. O(classes (records log records + resamples records)).
std::optional<Bootstrap> bootstrap_auroc(const Predictions& predictions,
                                         std::span<const std::int32_t> ids, std::int64_t resamples);

// The same with resamples of `records` drawn with replacement from Philox: draw i of resample b is
// word i % 4 of RandomKey{seed, 0, 0x424f4f54}.draw(b, i / 4), scaled to [0, records) by the upper
// half of its product with `records`; so a seed gives the same figures everywhere. resamples is 1
// to max_bootstrap_resamples.
inline constexpr std::int64_t max_bootstrap_resamples = 100'000;
std::optional<Bootstrap> bootstrap_auroc(const Predictions& predictions, std::int64_t resamples,
                                         std::uint64_t seed);

// evaluate() with the intervals of 1000 resamples (seed 0): what a run reports of its test folds.
Metrics evaluate_with_intervals(const Predictions& predictions);

}  // namespace cardiograd
