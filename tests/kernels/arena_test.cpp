#include "kernels/arena.h"

#include <gtest/gtest.h>
#include <random>

#include "kernels/cpu/block_cache.h"
#include "kernels/error.h"

namespace cardiograd {
namespace {

constexpr std::size_t alignment = Arena::alignment;

bool overlap(const TracedBlock& a, std::size_t a_at, const TracedBlock& b, std::size_t b_at) {
  return a.begin < b.end && b.begin < a.end && a_at < b_at + b.bytes && b_at < a_at + a.bytes;
}

TEST(MemoryTrace, KnowsLivesAndPeak) {
  std::string owner = "conv";
  MemoryTrace trace([&] { return owner; });
  const int a = 0, b = 0, c = 0, stranger = 0;
  trace.allocated(&a, 100);
  trace.deallocated(&stranger);
  owner = "pool";
  trace.allocated(&b, 50);
  trace.deallocated(&a);
  trace.allocated(&c, 70);
  ASSERT_EQ(trace.blocks().size(), 3U);
  EXPECT_EQ(trace.blocks()[0].end, 2U);
  EXPECT_EQ(trace.blocks()[1].end, TracedBlock::still_alive);
  EXPECT_EQ(trace.peak(), 150U);
  const std::vector<std::pair<std::string, std::size_t>> owners{{"conv", 100}, {"pool", 50}};
  EXPECT_EQ(trace.owners_at_peak(), owners);
}

TEST(ArenaLayout, PutsBlocksThatDoNotMeetOnTopOfEachOther) {
  const std::vector<TracedBlock> blocks{{.bytes = 1000, .begin = 0, .end = 2},
                                        {.bytes = 300, .begin = 1, .end = 5},
                                        {.bytes = 1000, .begin = 3, .end = 4},
                                        {.bytes = 20, .begin = 6, .end = 7}};
  const ArenaLayout layout = lay_out(blocks, alignment);
  EXPECT_EQ(layout.bytes, 1024U + 512U);
  EXPECT_EQ(layout.offsets[0], layout.offsets[2]);
  EXPECT_EQ(layout.offsets[1], 1024U);
  EXPECT_EQ(lay_out({}, alignment).bytes, 0U);
}

TEST(ArenaLayout, NeverLetsLivingBlocksOverlapAndStaysNearThePeak) {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    MemoryTrace trace;
    std::vector<std::unique_ptr<int>> alive;
    for (int event = 0; event < 300; ++event) {
      if (!alive.empty() && random() % 100 < 48) {
        const std::size_t which = random() % alive.size();
        trace.deallocated(alive[which].get());
        alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(which));
      } else {
        alive.push_back(std::make_unique<int>());
        trace.allocated(alive.back().get(),
                        random() % 5 == 0 ? random() % 100000 : random() % 2000);
      }
    }
    const std::vector<TracedBlock>& blocks = trace.blocks();
    const ArenaLayout layout = lay_out(blocks, alignment);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(layout.offsets[i] % alignment, 0U);
      EXPECT_LE(layout.offsets[i] + blocks[i].bytes, layout.bytes);
      for (std::size_t j = 0; j < i; ++j) {
        ASSERT_FALSE(overlap(blocks[i], layout.offsets[i], blocks[j], layout.offsets[j]));
      }
    }
    EXPECT_LE(layout.bytes, trace.peak() * 5 / 4 + 256 * alignment);
  }
}

// a and b alive together, then c.
template <class Allocate, class Deallocate>
void pass(const Allocate& allocate, const Deallocate& deallocate) {
  void* a = allocate(1000);
  void* b = allocate(0);
  deallocate(a, 1000);
  void* c = allocate(500);
  deallocate(c, 500);
  deallocate(b, 0);
}

TEST(BlockCacheArena, ServesTheTracedPassAgainAtOnePlace) {
  BlockCache blocks;
  const auto allocate = [&](std::size_t bytes) { return blocks.allocate(bytes); };
  const auto deallocate = [&](void* data, std::size_t bytes) { blocks.deallocate(data, bytes); };
  void* older = blocks.allocate(10);
  MemoryTrace trace;
  blocks.trace(&trace);
  blocks.deallocate(older, 10);
  pass(allocate, deallocate);
  blocks.trace(nullptr);
  blocks.deallocate(blocks.allocate(40), 40);
  ASSERT_EQ(trace.blocks().size(), 3U);
  const std::size_t before = blocks.bytes_in_use();
  Arena& arena = blocks.add_arena(trace);
  EXPECT_EQ(arena.bytes(), 1024U + 256U);
  EXPECT_EQ(blocks.bytes_kept(), 0U) << "what the traced pass left is given back";
  blocks.serve_from(&arena);
  pass(allocate, deallocate);
  EXPECT_TRUE(arena.followed());
  EXPECT_THROW(blocks.allocate(8), Error) << "the trace asked for nothing more";
  blocks.serve_from(nullptr);
  EXPECT_EQ(arena.alive(), 0U);
  blocks.remove_arena(arena);
  EXPECT_EQ(blocks.bytes_in_use(), before);
}

TEST(BlockCacheArena, NoticesAPassThatIsAnother) {
  BlockCache blocks;
  MemoryTrace trace;
  blocks.trace(&trace);
  void* first = blocks.allocate(100);
  void* second = blocks.allocate(100);
  blocks.deallocate(first, 100);
  blocks.deallocate(second, 100);
  blocks.trace(nullptr);
  Arena& arena = blocks.add_arena(trace);
  blocks.serve_from(&arena);
  first = blocks.allocate(100);
  try {
    blocks.allocate(101);
    FAIL() << "another size was served";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a step asked for 101 bytes where the one before it asked for 100");
  }
  blocks.serve_from(nullptr);
  blocks.deallocate(first, 100);
  EXPECT_FALSE(arena.followed());

  Arena& other = blocks.add_arena(trace);
  blocks.serve_from(&other);
  first = blocks.allocate(100);
  second = blocks.allocate(100);
  blocks.deallocate(second, 100);
  blocks.deallocate(first, 100);
  blocks.serve_from(nullptr);
  EXPECT_FALSE(other.followed()) << "the first block lived longer than in the trace";
}

TEST(BlockCacheArena, StaysWhileABlockOfItIsInUse) {
  BlockCache blocks;
  MemoryTrace trace;
  blocks.trace(&trace);
  blocks.deallocate(blocks.allocate(100), 100);
  blocks.trace(nullptr);
  Arena& arena = blocks.add_arena(trace);
  blocks.serve_from(&arena);
  void* data = blocks.allocate(100);
  blocks.serve_from(nullptr);
  blocks.remove_arena(arena);
  std::fill_n(static_cast<char*>(data), 100, 'x');
  blocks.deallocate(data, 100);
}

}  // namespace
}  // namespace cardiograd
