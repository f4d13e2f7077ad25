// The emulator runs right programs right in every order of threads, and finds each planted fault.
#include "tests/emulator/emulator.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/cuda/grid.h"
#include "kernels/philox.h"
#include "tests/emulator/kernels.h"
#include "tests/support/address_sanitizer.h"
#include "tests/support/random_values.h"

namespace cardiograd {
namespace {

using emulator::EmulatorError;
using emulator::Order;
using namespace emulator_kernels;

template <auto kernel, class... Arguments>
void start(cuda::dim3 grid, cuda::dim3 block, const Arguments&... arguments) {
  cuda::launch<kernel>(grid, block, 0, nullptr, arguments...);
}

// The sentence of the error, or nothing.
template <auto kernel, class... Arguments>
std::string complaint(cuda::dim3 block, const Arguments&... arguments) {
  try {
    start<kernel>(1, block, arguments...);
  } catch (const EmulatorError& error) {
    return error.what();
  }
  return "";
}

std::vector<float> some_floats(std::size_t count) {
  const std::vector<double> values =
      testing::uniform_values(static_cast<std::int64_t>(count), -1.0, 1.0, 7);
  return {values.begin(), values.end()};
}

class InOrder : public ::testing::TestWithParam<Order> {
 protected:
  void SetUp() override { emulator::set_order(GetParam(), 11); }
  void TearDown() override { emulator::set_order(Order::ascending); }
};

INSTANTIATE_TEST_SUITE_P(Threads, InOrder,
                         ::testing::Values(Order::ascending, Order::descending, Order::shuffled));

// ---- Right programs -----------------------------------------------------------------------------

TEST_P(InOrder, EachThreadOfAGridRunsOnce) {
  const cuda::dim3 grid(3, 2, 2);
  const cuda::dim3 block(5, 3, 2);
  std::vector<int> visits(12 * 30, 0);
  start<count_visits>(grid, block, visits.data());
  EXPECT_EQ(visits, std::vector<int>(visits.size(), 1));
}

TEST_P(InOrder, BlocksSum) {
  const std::vector<float> x = some_floats(3 * 1000);
  std::vector<float> y(3);
  start<sum_of_block>(3, 256, x.data(), y.data(), 1000);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto first = x.begin() + static_cast<std::ptrdiff_t>(1000 * i);
    EXPECT_NEAR(y[i], std::accumulate(first, first + 1000, 0.0), 1e-4);
  }
}

TEST_P(InOrder, BlockScans) {
  const std::vector<float> x = some_floats(200);
  std::vector<float> y(200);
  start<scan_of_block>(1, 200, x.data(), y.data());
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y[i], sum += x[i], 1e-4) << i;
}

// C [m, n] = A [m, k] B [k, n] through shared memory, fragments and mma, against plain loops.
TEST_P(InOrder, TensorCoresMultiply) {
  constexpr int m = 32;
  constexpr int n = 16;
  constexpr int k = 48;
  const std::vector<float> a32 = some_floats(m * k);
  const std::vector<float> b32 = some_floats(k * n);
  std::vector<BFloat16> a(a32.begin(), a32.end());
  std::vector<BFloat16> b(b32.begin(), b32.end());
  std::vector<float> by_hand(m * n);
  std::vector<float> by_ldmatrix(m * n);
  start<multiply_by_hand>(cuda::dim3(m / 16, n / 8), 32, a.data(), b.data(), by_hand.data(), k, n);
  start<multiply_by_ldmatrix>(cuda::dim3(m / 16, n / 8), 32, a.data(), b.data(), by_ldmatrix.data(),
                              k, n);
  for (int row = 0; row < m; ++row) {
    for (int column = 0; column < n; ++column) {
      double expected = 0.0;
      for (int i = 0; i < k; ++i) {
        expected +=
            static_cast<double>(cuda::to_float(a[static_cast<std::size_t>(row * k + i)])) *
            static_cast<double>(cuda::to_float(b[static_cast<std::size_t>(i * n + column)]));
      }
      const auto at = static_cast<std::size_t>(row * n + column);
      EXPECT_NEAR(by_hand[at], expected, 1e-5) << row << ", " << column;
      EXPECT_NEAR(by_ldmatrix[at], expected, 1e-5) << row << ", " << column;
    }
  }
}

TEST_P(InOrder, TensorCoresMultiplyInTf32) {
  const std::vector<float> a = some_floats(16 * 8);
  const std::vector<float> b = some_floats(8 * 8);
  std::vector<float> c(16 * 8);
  start<multiply_tf32>(1, 32, a.data(), b.data(), c.data(), true);
  for (std::size_t row = 0; row < 16; ++row) {
    for (std::size_t column = 0; column < 8; ++column) {
      double expected = 0.0;
      for (std::size_t i = 0; i < 8; ++i) {
        expected += std::bit_cast<float>(cuda::tf32_bits(a[row * 8 + i])) *
                    std::bit_cast<float>(cuda::tf32_bits(b[i * 8 + column]));
      }
      EXPECT_NEAR(c[row * 8 + column], expected, 1e-5) << row << ", " << column;
    }
  }
}

TEST_P(InOrder, WarpsVoteShuffleAndCountAtomically) {
  std::vector<unsigned> y(64 * 6, 0);
  unsigned counter = 0;
  start<warp_operations>(1, 64, y.data(), &counter);
  EXPECT_EQ(counter, 64U);
  for (unsigned thread = 0; thread < 64; ++thread) {
    const unsigned lane = thread % 32;
    const unsigned* mine = y.data() + std::size_t{thread} * 6;
    EXPECT_EQ(mine[0], 0x55555555U);                                 // ballot of even lanes
    EXPECT_EQ(mine[1], lane ^ 5U);                                   // shuffle_xor
    EXPECT_EQ(mine[2], std::min(lane + 3, lane < 29 ? 31U : lane));  // shuffle_down keeps the end
    EXPECT_EQ(mine[3], lane < 3 ? lane : lane - 3);
    EXPECT_EQ(mine[4], lane < 16 ? 120U : 376U);  // sums of the half warps' lanes
    EXPECT_EQ(mine[5], 32U);                      // sync_block_count of even threads
  }
}

TEST_P(InOrder, AsynchronousCopiesArriveAfterTheWait) {
  std::vector<float> x(4 * 64);
  std::iota(x.begin(), x.end(), 0.0F);
  std::vector<float> y(4 * 64);
  start<pipelined_copy>(1, 16, x.data(), y.data(), 4);
  EXPECT_EQ(y, x);
}

TEST(Emulator, PhiloxGivesTheHostsDraws) {
  const RandomKey key{77, 3, 9};
  std::vector<std::uint32_t> y(32 * 4);
  start<draw_words>(1, 32, key, y.data());
  for (std::uint32_t i = 0; i < 32; ++i) {
    const Philox::Words words = key.draw(5, i);
    EXPECT_TRUE(std::equal(words.begin(), words.end(), y.begin() + 4 * i)) << i;
  }
}

TEST(Emulator, RecordsTheNamesOfLaunchedKernels) {
  EXPECT_EQ(complaint<typed_kernel<float>>(1), "");
  EXPECT_EQ(emulator::launched_kernels().count("typed_kernel"), 1U);
  EXPECT_EQ(emulator::launched_kernels().count("never_launched"), 0U);
}

TEST(Emulator, GridWithoutBlocksDoesNothing) {
  start<divergent_barrier>(0, 32, 0);
  start<divergent_barrier>(cuda::dim3(3, 0), 32, 0);
}

TEST(Emulator, RunsOnAfterAFault) {
  EXPECT_NE(complaint<divergent_barrier>(64, 40), "");
  const std::vector<float> x = some_floats(100);
  std::vector<float> y(1);
  start<sum_of_block>(1, 256, x.data(), y.data(), 100);
  EXPECT_NEAR(y[0], std::accumulate(x.begin(), x.end(), 0.0), 1e-5);
}

// ---- Planted faults -----------------------------------------------------------------------------

// Whether any order gives another result than neighbours swapped, as the kernel with its barrier.
template <auto kernel>
bool found_by_orders() {
  std::vector<float> x(64);
  std::iota(x.begin(), x.end(), 0.0F);
  bool found = false;
  for (const Order order : {Order::ascending, Order::descending, Order::shuffled}) {
    emulator::set_order(order);
    std::vector<float> y(64, -1.0F);
    start<kernel>(1, 64, x.data(), y.data());
    for (std::size_t i = 0; i < 64; ++i) found |= !(y[i] == x[(i + 1) % 64]);
  }
  emulator::set_order(Order::ascending);
  return found;
}

TEST(PlantedFault, MissingBarrierAfterAWrite) {
  EXPECT_FALSE(found_by_orders<rotate<true>>());
  EXPECT_TRUE(found_by_orders<rotate<false>>());
}

TEST(PlantedFault, RaceOfAWriteWithEarlierReads) {
  EXPECT_FALSE(found_by_orders<rotate_in_place<true>>());
  EXPECT_TRUE(found_by_orders<rotate_in_place<false>>());
}

TEST(PlantedFault, MissingWarpBarrier) {
  EXPECT_FALSE(found_by_orders<rotate_by_warp<true>>());
  EXPECT_TRUE(found_by_orders<rotate_by_warp<false>>());
}

TEST(PlantedFault, SharedMemoryReadBeforeItIsWritten) {
  float y = 0.0F;
  start<read_unwritten>(2, 1, &y);
  EXPECT_TRUE(std::isnan(y));
}

TEST(PlantedFault, MissingWaitForAnAsynchronousCopy) {
  std::vector<float> x(64, 1.0F);
  std::vector<float> y(64, 0.0F);
  start<copy_without_wait>(1, 16, x.data(), y.data());
  EXPECT_TRUE(std::isnan(y[0]));
}

TEST(PlantedFault, DivergentBarrierNamesThreadsAndLines) {
  EXPECT_EQ(complaint<divergent_barrier>(64, 40),
            "kernel divergent_barrier, block (0, 0, 0): divergence: threads 0-39 wait in "
            "sync_block (tests/emulator/kernels.h:" +
                std::to_string(divergent_barrier_line) + "), threads 40-63 have returned");
}

TEST(PlantedFault, TwoBarriersForOne) {
  const std::string text = complaint<two_barriers>(64);
  EXPECT_NE(text.find("threads 0-31 wait in sync_block"), std::string::npos) << text;
  EXPECT_NE(text.find("threads 32-63 wait in sync_block"), std::string::npos) << text;
}

TEST(PlantedFault, LaneOutsideItsOwnMask) {
  const std::string text = complaint<wrong_mask>(32, 0x0000ffffU);
  EXPECT_NE(text.find("shuffle_xor: lane 16 is not in its own mask 0xffff at "
                      "tests/emulator/kernels.h:"),
            std::string::npos)
      << text;
}

TEST(PlantedFault, MaskOfLanesThatDoNotCome) {
  const std::string text = complaint<half_of_a_warp>(32);
  EXPECT_NE(text.find("threads 0-15 wait in shuffle_xor"), std::string::npos) << text;
  EXPECT_NE(text.find("mask 0xffffffff"), std::string::npos) << text;
  EXPECT_NE(text.find("threads 16-31 have returned"), std::string::npos) << text;
}

TEST(PlantedFault, MisalignedPack) {
  std::vector<float> x(16);
  const std::string text = complaint<read_pack>(1, static_cast<const float*>(x.data()) + 1);
  EXPECT_NE(text.find("an access of 16 bytes is misaligned at tests/emulator/kernels.h:"),
            std::string::npos)
      << text;
}

TEST(PlantedFault, OperandsThatAreNotRoundedToTf32) {
  const std::vector<float> x(128, 1.0F + 0x1p-12F);
  std::vector<float> y(128);
  const std::string text = complaint<multiply_tf32>(32, x.data(), x.data(), y.data(), false);
  EXPECT_NE(text.find("an operand of mma_tf32 is not rounded by tf32_bits at "), std::string::npos)
      << text;
}

TEST(Tf32, IsTheNearestTiesAwayFromZero) {
  const auto rounded = [](float value) { return std::bit_cast<float>(cuda::tf32_bits(value)); };
  EXPECT_EQ(rounded(1.0F + 0x1p-10F), 1.0F + 0x1p-10F);
  EXPECT_EQ(rounded(1.0F + 0x1p-11F), 1.0F + 0x1p-10F);
  EXPECT_EQ(rounded(-1.0F - 0x1p-11F), -1.0F - 0x1p-10F);
  EXPECT_EQ(rounded(1.0F + 0x1p-12F), 1.0F);
  EXPECT_EQ(rounded(2.0F - 0x1p-23F), 2.0F);
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_EQ(rounded(-std::numeric_limits<float>::infinity()),
            -std::numeric_limits<float>::infinity());
}

TEST(PlantedFault, TooManyThreadsOrTooMuchSharedMemory) {
  EXPECT_NE(complaint<divergent_barrier>(1025, 0).find("1 to 1024 threads, not (1025, 1, 1)"),
            std::string::npos);
  EXPECT_THROW((cuda::launch<typed_kernel<float>>(1, 32, 300 * 1024, nullptr)), EmulatorError);
  EXPECT_NE(complaint<large_array>(1).find("49168 bytes of static shared memory"),
            std::string::npos)
      << complaint<large_array>(1);
}

TEST(PlantedFault, WritePastASharedArray) {
#if defined(CARDIOGRAD_ADDRESS_SANITIZER)
  EXPECT_DEATH(start<write_past_shared>(1, 32, 32), "emulator/kernels.h:");
#else
  EXPECT_EQ(complaint<write_past_shared>(32, 32),
            "kernel write_past_shared, block (0, 0, 0): a thread wrote outside the shared array "
            "held");
#endif
  EXPECT_EQ(complaint<write_past_shared>(32, 31), "");
}

TEST(PlantedFault, WritePastDynamicSharedMemory) {
  const auto run = [](int last) { cuda::launch<write_dynamic>(1, 32, 128, nullptr, last); };
  run(31);
#if defined(CARDIOGRAD_ADDRESS_SANITIZER)
  EXPECT_DEATH(run(32), "emulator/kernels.h:");
#else
  EXPECT_THROW(run(32), EmulatorError);
#endif
}

#if defined(CARDIOGRAD_ADDRESS_SANITIZER)
TEST(PlantedFault, WritePastGlobalMemory) {
  std::vector<int> visits(31);
  EXPECT_DEATH(start<count_visits>(1, 32, visits.data()), "emulator/kernels.h:");
}
#endif

}  // namespace
}  // namespace cardiograd
