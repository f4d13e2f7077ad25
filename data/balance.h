// Balancing a training set: fewer examples of one class alone, or extra copies of a class.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/batches.h"

namespace cardiograd {

// How many examples have each class; one of several classes counts in each.
std::vector<std::int64_t> class_counts(const ExampleSource& source,
                                       std::span<const std::int32_t> examples);

// Leaves out examples whose only class is `only`, drawn by seed, until no more of them are left
// than the most common other class has examples. Ascending.
std::vector<std::int32_t> undersampled(const ExampleSource& source,
                                       std::span<const std::int32_t> examples, std::int64_t only,
                                       std::uint64_t seed);

// Extra copies of examples that have a class.
struct ExtraCopies {
  std::int64_t least = 0;  // of the differences between the other classes' counts and the class's
  std::int64_t most = 0;   // and the largest; a negative difference counts as 0
  std::vector<std::int32_t> examples;  // as many as drawn between the two, each a copy's number
};
// Number and examples (with replacement) are drawn by seed. None where there is no other class or
// no example of the class.
ExtraCopies extra_copies(const ExampleSource& source, std::span<const std::int32_t> examples,
                         std::int64_t copied, std::uint64_t seed);

}  // namespace cardiograd
