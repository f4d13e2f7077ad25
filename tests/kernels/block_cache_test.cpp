#include "kernels/cpu/block_cache.h"

#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <thread>
#include <vector>

#include "kernels/error.h"

namespace cardiograd {
namespace {

TEST(BlockCache, AlignsEveryBlockAndServesZeroBytes) {
  BlockCache blocks;
  for (const std::size_t bytes : {0UL, 1UL, 64UL, 65UL, 1000UL, 1UL << 20, (4UL << 20) + 1}) {
    void* data = blocks.allocate(bytes);
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 64, 0U) << bytes;
    std::memset(data, 1, bytes);
    blocks.deallocate(data, bytes);
  }
  blocks.deallocate(nullptr, 10);
  EXPECT_EQ(blocks.bytes_in_use(), 0U);
}

TEST(BlockCache, HandsAFreedBlockOutAgain) {
  BlockCache blocks;
  void* first = blocks.allocate(5000);
  blocks.deallocate(first, 5000);
  EXPECT_EQ(blocks.bytes_kept(), BlockCache::block_size(5000));
  // A slightly different request of the same size class gets the same block.
  void* second = blocks.allocate(4999);
  EXPECT_EQ(second, first);
  EXPECT_EQ(blocks.bytes_kept(), 0U);
  EXPECT_EQ(blocks.bytes_in_use(), BlockCache::block_size(5000));
  blocks.deallocate(second, 4999);
  blocks.release();
  EXPECT_EQ(blocks.bytes_kept(), 0U);
}

TEST(BlockCache, WastesAtMostAQuarterBeyondSmallBlocks) {
  EXPECT_EQ(BlockCache::block_size(0), 64U);
  EXPECT_EQ(BlockCache::block_size(65), 128U);
  for (std::size_t bytes = 256; bytes < 100000; bytes += 37) {
    const std::size_t size = BlockCache::block_size(bytes);
    EXPECT_GE(size, bytes);
    EXPECT_LE(size, bytes + bytes / 4 + 1);
    EXPECT_EQ(size % 64, 0U);
    EXPECT_EQ(BlockCache::block_size(size), size);
  }
}

TEST(BlockCache, SaysWhatWasAskedForWhenMemoryIsOut) {
  BlockCache blocks;
  void* held = blocks.allocate(64);
  for (const std::size_t bytes : {std::size_t{1} << 60, ~std::size_t{0}}) {
    try {
      blocks.allocate(bytes);
      FAIL() << "no error";
    } catch (const DeviceError& error) {
      EXPECT_EQ(std::string(error.what()),
                "the cpu has no " + std::to_string(bytes) +
                    " bytes of memory left (64 bytes are in use): use a smaller batch, model or "
                    "record length");
    }
  }
  EXPECT_EQ(blocks.bytes_in_use(), 64U);
  blocks.deallocate(held, 64);
}

TEST(BlockCache, ServesManyThreads) {
  BlockCache blocks;
  std::vector<std::thread> threads;
  for (unsigned char mark = 1; mark <= 4; ++mark) {
    threads.emplace_back([&blocks, mark] {
      for (std::size_t i = 0; i < 500; ++i) {
        const std::size_t bytes = 64 + i % 7 * 100;
        auto* data = static_cast<unsigned char*>(blocks.allocate(bytes));
        std::memset(data, mark, bytes);
        for (std::size_t at = 0; at < bytes; ++at) ASSERT_EQ(data[at], mark);
        blocks.deallocate(data, bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(blocks.bytes_in_use(), 0U);
}

}  // namespace
}  // namespace cardiograd
