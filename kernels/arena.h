// Memory whose use is known beforehand. One pass of some work is traced; when the same pass runs
// again, blocks whose lives did not meet lie on top of each other, at fixed places in one piece of
// memory: what a recorded step needs, whose operations keep their addresses.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cardiograd {

// A block in the order of events (each event one allocation or the end of a block).
struct TracedBlock {
  static constexpr std::size_t still_alive = std::numeric_limits<std::size_t>::max();
  std::size_t bytes = 0;
  std::size_t begin = 0;          // number of the event that began it
  std::size_t end = still_alive;  // and of the one that ended it
  std::string owner{};            // who asked, where the trace knows
};

// Notes what is asked for and given back. Blocks that began before the trace are no part of it.
class MemoryTrace {
 public:
  // owner: says who asks, whenever somebody does.
  explicit MemoryTrace(std::function<std::string()> owner = {}) : owner_(std::move(owner)) {}

  void allocated(const void* data, std::size_t bytes);
  void deallocated(const void* data);

  const std::vector<TracedBlock>& blocks() const { return blocks_; }
  // The most bytes that were alive at once.
  std::size_t peak() const;
  // Of the blocks that were alive at that moment: bytes by owner, largest first.
  std::vector<std::pair<std::string, std::size_t>> owners_at_peak() const;

 private:
  std::function<std::string()> owner_;
  std::vector<TracedBlock> blocks_;
  std::unordered_map<const void*, std::size_t> alive_;  // numbers of blocks
  std::size_t events_ = 0;
};

struct ArenaLayout {
  std::vector<std::size_t> offsets;  // one a block, multiples of the alignment
  std::size_t bytes = 0;             // of the whole
};

// Places for the blocks such that those whose lives meet do not overlap: the largest first, each in
// the smallest gap that takes it (greedy by size, Pisarchyk & Lee 2020, section 5.2). `bytes` is at
// least the trace's peak and seldom much more.
ArenaLayout lay_out(std::span<const TracedBlock> blocks, std::size_t alignment);

// Hands out the blocks of a trace again.
class Arena {
 public:
  static constexpr std::size_t alignment = 256;

  // memory: layout().bytes, aligned; somebody else's.
  Arena(std::vector<TracedBlock> blocks, ArenaLayout layout, void* memory);

  // The next block. Throws Error where the trace asked for another size here: the pass is not the
  // one that was traced.
  void* allocate(std::size_t bytes);
  // Notes where a block of the arena ends otherwise than in the trace; see followed().
  void deallocate(void* data) noexcept;
  bool owns(const void* data) const;
  // Whether the pass that is done now asked for all blocks, and ended each where the trace did.
  bool followed() const { return follows_ && next_ == blocks_.size(); }
  // Blocks that were handed out and not given back.
  std::size_t alive() const { return alive_.size(); }
  std::size_t bytes() const { return layout_.bytes; }
  void* memory() const { return memory_; }

 private:
  std::vector<TracedBlock> blocks_;
  ArenaLayout layout_;
  std::byte* memory_;
  std::unordered_map<const void*, std::size_t> alive_;
  std::size_t next_ = 0;
  std::size_t events_ = 0;
  bool follows_ = true;
};

}  // namespace cardiograd
