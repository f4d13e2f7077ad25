#include "data/shares.h"

#include <gtest/gtest.h>

namespace cardiograd {
namespace {

using Shares = std::vector<Share>;

TEST(Shares, OneRankHasWholeBatches) {
  EXPECT_EQ(shares_of_batches(10, 4, 0, 1), (Shares{{0, 4, 4}, {4, 4, 4}, {8, 2, 2}}));
  EXPECT_EQ(batches_in_turn(10, 4, 0, 1), shares_of_batches(10, 4, 0, 1));
  EXPECT_EQ(shares_of_batches(0, 4, 0, 1), Shares{});
}

TEST(Shares, AreContiguousAndNearlyEqualAndMayBeEmpty) {
  EXPECT_EQ(shares_of_batches(9, 7, 0, 3), (Shares{{0, 3, 7}, {7, 1, 2}}));
  EXPECT_EQ(shares_of_batches(9, 7, 1, 3), (Shares{{3, 2, 7}, {8, 1, 2}}));
  EXPECT_EQ(shares_of_batches(9, 7, 2, 3), (Shares{{5, 2, 7}, {9, 0, 2}}));
}

TEST(Shares, OfAllRanksAreEachExampleOnce) {
  for (const int ranks : {1, 2, 3, 4, 7}) {
    for (const std::int64_t batch_size : {1, 2, 5, 16}) {
      for (const auto& divide : {shares_of_batches, batches_in_turn}) {
        std::vector<int> seen(33, 0);
        for (int rank = 0; rank < ranks; ++rank) {
          for (const Share& share : divide(33, batch_size, rank, ranks)) {
            for (std::int64_t i = 0; i < share.count; ++i) {
              ++seen.at(static_cast<std::size_t>(share.first + i));
            }
          }
        }
        EXPECT_EQ(seen, std::vector<int>(33, 1)) << ranks << " ranks, batches of " << batch_size;
      }
    }
  }
}

TEST(Shares, RankZeroIsNeverWithout) {
  for (std::int64_t examples = 1; examples < 40; ++examples) {
    for (const Share& share : shares_of_batches(examples, 8, 0, 5)) EXPECT_GT(share.count, 0);
  }
}

}  // namespace
}  // namespace cardiograd
