// Which examples of an epoch or of an evaluation each of several processes computes.
#pragma once

#include <cstdint>
#include <vector>

namespace cardiograd {

// Of a batch, the examples [first, first + count) of the order: what one process computes.
struct Share {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t whole = 0;  // examples of the whole batch

  bool operator==(const Share&) const = default;
};

// Every batch of batch_size examples (the last one may be smaller) is cut into `ranks` contiguous
// shares, of which this is the one of `rank`: as long as each other or longer by one example, the
// longer ones first. Together they are the batch, each example once; a share may be empty, but not
// that of rank 0.
std::vector<Share> shares_of_batches(std::int64_t examples, std::int64_t batch_size, int rank,
                                     int ranks);

// Whole batches in turn: batch i is that of rank i % ranks.
std::vector<Share> batches_in_turn(std::int64_t examples, std::int64_t batch_size, int rank,
                                   int ranks);

}  // namespace cardiograd
