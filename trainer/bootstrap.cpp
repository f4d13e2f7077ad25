#include "trainer/bootstrap.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "kernels/philox.h"

namespace cardiograd {
namespace {

// Resamples that are ranked side by side: one pass over the sorted records serves them all, and
// the inner loops over lanes become vector instructions.
constexpr std::size_t lanes = 8;
using Lanes32 = std::array<std::uint32_t, lanes>;
using Lanes64 = std::array<std::uint64_t, lanes>;

// "BOOT": keeps these draws apart from every operation of a model.
constexpr std::uint32_t bootstrap_operation = 0x424f4f54;

// A class's records by falling score.
struct SortedClass {
  struct Entry {
    std::int32_t record = 0;
    bool positive = false;
    bool ends_tie = false;  // the next record has a lower score
  };
  std::vector<Entry> entries;
};

SortedClass sort_class(const Predictions& predictions, std::int64_t index) {
  const auto targets = class_column(predictions.targets, predictions.classes(), index);
  const auto scores = class_column(predictions.scores, predictions.classes(), index);
  const auto order = falling_order(scores);
  SortedClass sorted;
  sorted.entries.reserve(order.size());
  for (std::size_t at = 0; at < order.size(); ++at) {
    const auto record = static_cast<std::size_t>(order[at]);
    const bool last =
        at + 1 == order.size() || scores[static_cast<std::size_t>(order[at + 1])] != scores[record];
    sorted.entries.push_back({order[at], targets[record] == 1.0, last});
  }
  return sorted;
}

// AUROC of one class in each lane's resample, NaN where it has one kind of label. counts
// [records]: how often each lane drew each record.
std::array<double, lanes> ranked_auroc(const SortedClass& sorted, std::span<const Lanes32> counts) {
  Lanes64 twice_pairs{};  // in units of half a pair, so that ties stay exact
  Lanes32 positives_above{};
  Lanes32 negatives_above{};
  Lanes32 positives{};
  Lanes32 negatives{};
  for (const SortedClass::Entry& entry : sorted.entries) {
    const Lanes32& count = counts[static_cast<std::size_t>(entry.record)];
    Lanes32& side = entry.positive ? positives : negatives;
    for (std::size_t lane = 0; lane < lanes; ++lane) side[lane] += count[lane];
    if (!entry.ends_tie) continue;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      twice_pairs[lane] += std::uint64_t{negatives[lane]} *
                           (2 * std::uint64_t{positives_above[lane]} + positives[lane]);
      positives_above[lane] += positives[lane];
      negatives_above[lane] += negatives[lane];
    }
    positives = {};
    negatives = {};
  }
  std::array<double, lanes> result{};
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const double pairs =
        static_cast<double>(positives_above[lane]) * static_cast<double>(negatives_above[lane]);
    result[lane] = pairs > 0.0 ? static_cast<double>(twice_pairs[lane]) / (2.0 * pairs)
                               : std::numeric_limits<double>::quiet_NaN();
  }
  return result;
}

// NumPy's quantile with linear interpolation; values are sorted.
double sorted_quantile(std::span<const double> values, double q) {
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], at - static_cast<double>(below));
}

// Over the values that are not NaN; absent when there is none.
std::optional<Interval> interval_of(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return std::nullopt;
  double sum = 0.0;
  for (double value : values) sum += value;
  std::sort(values.begin(), values.end());
  return Interval{sum / static_cast<double>(values.size()), sorted_quantile(values, 0.05),
                  sorted_quantile(values, 0.95)};
}

// areas [resamples, classes], NaN where undefined.
std::optional<Bootstrap> summarise(std::span<const double> areas, std::int64_t classes) {
  const auto width = static_cast<std::size_t>(classes);
  std::vector<double> means;
  for (std::size_t at = 0; at < areas.size(); at += width) {
    double sum = 0.0;
    std::size_t defined = 0;
    for (double area : areas.subspan(at, width)) {
      if (std::isnan(area)) continue;
      sum += area;
      ++defined;
    }
    if (defined > 0) means.push_back(sum / static_cast<double>(defined));
  }
  if (means.empty()) return std::nullopt;
  Bootstrap result;
  result.resamples = static_cast<std::int64_t>(means.size());
  result.macro_auroc = *interval_of(std::move(means));
  for (std::int64_t i = 0; i < classes; ++i) {
    result.classes.push_back(interval_of(class_column(areas, classes, i)));
  }
  return result;
}

// count_draws(resample, lane, counts) adds one resample's draws to a lane of counts.
template <class CountDraws>
std::optional<Bootstrap> run(const Predictions& predictions, std::int64_t resamples,
                             CountDraws count_draws) {
  const std::int64_t classes = predictions.classes();
  std::vector<SortedClass> sorted(static_cast<std::size_t>(classes));
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < classes; ++i) {
    sorted[static_cast<std::size_t>(i)] = sort_class(predictions, i);
  }
  std::vector<double> areas(static_cast<std::size_t>(resamples * classes));
  constexpr auto step = static_cast<std::int64_t>(lanes);
#pragma omp parallel
  {
    std::vector<Lanes32> counts(static_cast<std::size_t>(predictions.records));
#pragma omp for schedule(dynamic)
    for (std::int64_t first = 0; first < resamples; first += step) {
      const std::int64_t used = std::min(step, resamples - first);
      std::fill(counts.begin(), counts.end(), Lanes32{});
      for (std::int64_t lane = 0; lane < used; ++lane) {
        count_draws(first + lane, static_cast<std::size_t>(lane), counts);
      }
      for (std::int64_t i = 0; i < classes; ++i) {
        const auto area = ranked_auroc(sorted[static_cast<std::size_t>(i)], counts);
        for (std::int64_t lane = 0; lane < used; ++lane) {
          areas[static_cast<std::size_t>((first + lane) * classes + i)] =
              area[static_cast<std::size_t>(lane)];
        }
      }
    }
  }
  return summarise(areas, classes);
}

void check_ids(std::span<const std::int32_t> ids, std::size_t size, std::int64_t records) {
  for (std::size_t at = 0; at < ids.size(); ++at) {
    if (ids[at] < 0 || ids[at] >= records) {
      throw InputError("the bootstrap id in row " + std::to_string(at / size) + ", column " +
                       std::to_string(at % size) + " is " + std::to_string(ids[at]) +
                       ", but the records are numbered 0 to " + std::to_string(records - 1));
    }
  }
}

}  // namespace

std::optional<Bootstrap> bootstrap_auroc(const Predictions& predictions,
                                         std::span<const std::int32_t> ids,
                                         std::int64_t resamples) {
  predictions.check();
  if (resamples <= 0 || ids.empty()) throw InputError("there are no bootstrap ids");
  const std::size_t size = ids.size() / static_cast<std::size_t>(resamples);
  CG_CHECK(size * static_cast<std::size_t>(resamples) == ids.size() && size <= std::size_t{1} << 30,
           "bootstrap ids must form " + std::to_string(resamples) + " rows of one length");
  check_ids(ids, size, predictions.records);
  return run(
      predictions, resamples,
      [&](std::int64_t resample, std::size_t lane, std::vector<Lanes32>& counts) {
        for (const std::int32_t id : ids.subspan(static_cast<std::size_t>(resample) * size, size)) {
          ++counts[static_cast<std::size_t>(id)][lane];
        }
      });
}

std::optional<Bootstrap> bootstrap_auroc(const Predictions& predictions, std::int64_t resamples,
                                         std::uint64_t seed) {
  predictions.check();
  if (resamples < 1 || resamples > max_bootstrap_resamples) {
    throw InputError("the number of bootstrap resamples must be 1 to " +
                     std::to_string(max_bootstrap_resamples) + ", not " +
                     std::to_string(resamples));
  }
  const RandomKey key{seed, 0, bootstrap_operation};
  const auto records = static_cast<std::uint64_t>(predictions.records);
  return run(predictions, resamples,
             [&](std::int64_t resample, std::size_t lane, std::vector<Lanes32>& counts) {
               Philox::Words words{};
               for (std::uint64_t i = 0; i < records; ++i) {
                 if (i % 4 == 0) {
                   words = key.draw(static_cast<std::uint32_t>(resample),
                                    static_cast<std::uint32_t>(i / 4));
                 }
                 ++counts[static_cast<std::size_t>(words[i % 4] * records >> 32)][lane];
               }
             });
}

Metrics evaluate_with_intervals(const Predictions& predictions) {
  constexpr std::int64_t resamples = 1000;
  Metrics metrics = evaluate(predictions);
  if (std::optional<Bootstrap> bootstrap = bootstrap_auroc(predictions, resamples, 0)) {
    metrics.set_bootstrap(std::move(*bootstrap));
  }
  return metrics;
}

}  // namespace cardiograd
