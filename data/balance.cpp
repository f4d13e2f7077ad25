#include "data/balance.h"

#include <algorithm>
#include <map>

namespace cardiograd {

namespace {

// Streams apart from the shuffle's, the forward pass's and the augmentation's.
constexpr std::uint32_t copy_count_operation = 0xfffffffeU;
constexpr std::uint32_t copy_choice_operation = 0xfffffffdU;
// The shuffle of an epoch that is never trained.
constexpr std::uint32_t undersampling_epoch = 0;

bool has_class(std::span<const float> targets, std::int64_t which) {
  return targets[static_cast<std::size_t>(which)] > 0.0F;
}

std::int64_t one_of(std::uint32_t word, std::int64_t count) {
  return static_cast<std::int64_t>((std::uint64_t{word} * static_cast<std::uint64_t>(count)) >> 32);
}

}  // namespace

std::vector<std::int64_t> class_counts(const ExampleSource& source,
                                       std::span<const std::int32_t> examples) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(source.classes()), 0);
  for (std::int32_t example : examples) {
    const std::span<const float> targets = source.targets(example);
    for (std::size_t c = 0; c < counts.size(); ++c) counts[c] += targets[c] > 0.0F ? 1 : 0;
  }
  return counts;
}

std::vector<std::int32_t> undersampled(const ExampleSource& source,
                                       std::span<const std::int32_t> examples, std::int64_t only,
                                       std::uint64_t seed) {
  std::vector<std::int32_t> kept, alone;
  for (std::int32_t example : examples) {
    const std::span<const float> targets = source.targets(example);
    const auto classes =
        std::count_if(targets.begin(), targets.end(), [](float t) { return t > 0; });
    (classes == 1 && has_class(targets, only) ? alone : kept).push_back(example);
  }
  std::vector<std::int64_t> counts = class_counts(source, examples);
  counts[static_cast<std::size_t>(only)] = 0;
  const auto most = static_cast<std::size_t>(*std::max_element(counts.begin(), counts.end()));
  alone = shuffled(std::move(alone), seed, undersampling_epoch);
  alone.resize(std::min(alone.size(), most));
  kept.insert(kept.end(), alone.begin(), alone.end());
  std::sort(kept.begin(), kept.end());
  return kept;
}

ExtraCopies extra_copies(const ExampleSource& source, std::span<const std::int32_t> examples,
                         std::int64_t copied, std::uint64_t seed) {
  std::vector<std::int64_t> differences = class_counts(source, examples);
  const std::int64_t count = differences[static_cast<std::size_t>(copied)];
  differences.erase(differences.begin() + copied);
  ExtraCopies result;
  if (count == 0 || differences.empty()) return result;
  for (std::int64_t& difference : differences) {
    difference = std::max<std::int64_t>(difference - count, 0);
  }
  const auto [least, most] = std::minmax_element(differences.begin(), differences.end());
  result.least = *least;
  result.most = *most;

  std::vector<std::int32_t> originals;
  for (std::int32_t example : examples) {
    if (has_class(source.targets(example), copied)) originals.push_back(example);
  }
  const std::uint32_t word = RandomKey{seed, 0, copy_count_operation}.draw(0, 0)[0];
  const std::int64_t copies = result.least + one_of(word, result.most - result.least + 1);
  const RandomKey choice{seed, 0, copy_choice_operation};
  std::map<std::int32_t, std::int64_t> copies_of;
  for (std::int64_t i = 0; i < copies; ++i) {
    const std::int64_t which = one_of(choice.draw(static_cast<std::uint32_t>(i), 0)[0], count);
    const std::int32_t original = originals[static_cast<std::size_t>(which)];
    result.examples.push_back(source.copy_of(original, ++copies_of[original]));
  }
  return result;
}

}  // namespace cardiograd
