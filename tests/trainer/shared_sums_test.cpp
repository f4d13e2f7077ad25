// Sums in shared memory, with all ranks in one process, so that each step of them comes when the
// test says. tests/multiprocess has real ones.
#include "trainer/shared_sums.h"

#include <cstring>
#include <gtest/gtest.h>

namespace cardiograd {
namespace {

constexpr std::size_t bytes = 10000;

View floats(const std::shared_ptr<SharedSums>& sums, std::int64_t first, std::int64_t count) {
  return {reinterpret_cast<float*>(sums->mine()) + first, DType::f32, {count}};
}

class TwoRanks : public ::testing::Test {
 protected:
  TwoRanks() {
    const std::size_t all = SharedSums::bytes_for(2, bytes);
    const std::shared_ptr<SharedMemory> made = SharedMemory::make(all);
    const std::shared_ptr<SharedMemory> opened = SharedMemory::open(made->address(), all);
    first_ = SharedSums::join(made, 0, 2, bytes);
    second_ = SharedSums::join(opened, 1, 2, bytes);
    for (std::int64_t i = 0; i < 2500; ++i) {
      floats(first_, i, 1).as<float>()[0] = static_cast<float>(i);
      floats(second_, i, 1).as<float>()[0] = 0.5F;
    }
  }
  void expect_sums(std::int64_t first, std::int64_t count) const {
    for (const auto& rank : {first_, second_}) {
      for (std::int64_t i = first; i < first + count; ++i) {
        ASSERT_EQ(floats(rank, i, 1).as<float>()[0], static_cast<float>(i) + 0.5F) << i;
      }
    }
  }
  std::shared_ptr<SharedSums> first_, second_;
};

TEST_F(TwoRanks, WaitForEachOtherTwice) {
  const auto mine = first_->start(floats(first_, 0, 2500), "a sum");
  EXPECT_FALSE(mine->advance());
  EXPECT_EQ(mine->awaited(), std::set<int>{1});
  const auto theirs = second_->start(floats(second_, 0, 2500), "a sum");
  EXPECT_FALSE(mine->advance());  // its segment is done, the other's is not
  EXPECT_EQ(mine->awaited(), std::set<int>{1});
  EXPECT_TRUE(theirs->advance());
  EXPECT_TRUE(mine->advance());
  EXPECT_TRUE(mine->awaited().empty());
  expect_sums(0, 2500);
}

// The last rank arrives at both sums after one look at the older and before one at the younger.
TEST_F(TwoRanks, AddUpTheOlderSumFirst) {
  const auto older = first_->start(floats(first_, 0, 1000), "older");
  const auto younger = first_->start(floats(first_, 1000, 1500), "younger");
  EXPECT_FALSE(older->advance());
  const auto other_older = second_->start(floats(second_, 0, 1000), "older");
  const auto other_younger = second_->start(floats(second_, 1000, 1500), "younger");
  EXPECT_FALSE(younger->advance());
  EXPECT_FALSE(other_older->advance()) << "the older sum lacks a segment";
  EXPECT_FALSE(other_younger->advance());
  EXPECT_TRUE(older->advance());
  EXPECT_TRUE(younger->advance());
  EXPECT_TRUE(other_older->advance());
  EXPECT_TRUE(other_younger->advance());
  expect_sums(0, 2500);
}

TEST_F(TwoRanks, HoldTheirOwnRegion) {
  EXPECT_TRUE(first_->holds(floats(first_, 0, 2500)));
  EXPECT_TRUE(first_->holds(floats(first_, 2500, 0)));
  EXPECT_FALSE(first_->holds(floats(first_, 0, 2501)));
  EXPECT_FALSE(first_->holds(floats(first_, -1, 2)));
  EXPECT_FALSE(first_->holds(floats(second_, 0, 1)));
}

TEST_F(TwoRanks, KnowEachOthersPlaces) {
  const std::vector<View> of_first = first_->places_of(floats(first_, 40, 8));
  const std::vector<View> of_second = second_->places_of(floats(second_, 40, 8));
  ASSERT_EQ(of_first.size(), 2U);
  ASSERT_EQ(of_second.size(), 2U);
  EXPECT_EQ(of_first[0].data, floats(first_, 40, 1).data);
  EXPECT_EQ(of_second[1].data, floats(second_, 40, 1).data);
  EXPECT_EQ(of_first[1].dims, Dims{8});
  of_first[1].as<float>()[7] = -3.0F;
  EXPECT_EQ(floats(second_, 47, 1).as<float>()[0], -3.0F);
  of_second[0].as<float>()[0] = -4.0F;
  EXPECT_EQ(floats(first_, 40, 1).as<float>()[0], -4.0F);
}

TEST(SharedMemory, IsRefusedWhereTheAddressIsAnother) {
  const std::shared_ptr<SharedMemory> made = SharedMemory::make(8192);
  ASSERT_NE(made, nullptr);
  std::vector<std::byte> address = made->address();
  const std::shared_ptr<SharedMemory> opened = SharedMemory::open(address, 8192);
  ASSERT_NE(opened, nullptr);
  made->data()[8191] = std::byte{7};
  EXPECT_EQ(opened->data()[8191], std::byte{7});
  EXPECT_EQ(SharedMemory::open(address, 8191), nullptr);
  EXPECT_EQ(SharedMemory::open({}, 8192), nullptr);
  std::vector<std::byte> of_another_namespace = address;
  of_another_namespace.front() = std::byte{'x'};
  EXPECT_EQ(SharedMemory::open(of_another_namespace, 8192), nullptr);
  address.push_back(std::byte{'9'});  // no such file
  EXPECT_EQ(SharedMemory::open(address, 8192), nullptr);
}

TEST(SharedMemory, IsNoneWhereThereIsNoRoom) {
  EXPECT_EQ(SharedMemory::make(std::size_t{1} << 62), nullptr);
}

}  // namespace
}  // namespace cardiograd
