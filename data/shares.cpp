#include "data/shares.h"

#include <algorithm>

#include "kernels/error.h"

namespace cardiograd {

namespace {

void check(std::int64_t batch_size, int rank, int ranks) {
  CG_CHECK(batch_size > 0, "a batch holds at least one example");
  CG_CHECK(rank >= 0 && rank < ranks,
           "rank " + std::to_string(rank) + " of " + std::to_string(ranks));
}

}  // namespace

std::vector<Share> shares_of_batches(std::int64_t examples, std::int64_t batch_size, int rank,
                                     int ranks) {
  check(batch_size, rank, ranks);
  std::vector<Share> shares;
  for (std::int64_t first = 0; first < examples; first += batch_size) {
    const std::int64_t whole = std::min(batch_size, examples - first);
    const std::int64_t each = whole / ranks, longer = whole % ranks;
    shares.push_back({first + rank * each + std::min<std::int64_t>(rank, longer),
                      each + (rank < longer ? 1 : 0), whole});
  }
  return shares;
}

std::vector<Share> batches_in_turn(std::int64_t examples, std::int64_t batch_size, int rank,
                                   int ranks) {
  check(batch_size, rank, ranks);
  std::vector<Share> batches;
  for (std::int64_t first = rank * batch_size; first < examples; first += ranks * batch_size) {
    const std::int64_t count = std::min(batch_size, examples - first);
    batches.push_back({first, count, count});
  }
  return batches;
}

}  // namespace cardiograd
