#include "kernels/arena.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "kernels/error.h"

namespace cardiograd {

namespace {

std::size_t rounded_up(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// Blocks of no bytes have addresses of their own, too.
std::size_t size_in_arena(std::size_t bytes) { return std::max<std::size_t>(bytes, 1); }

bool lives_meet(const TracedBlock& a, const TracedBlock& b) {
  return a.begin < b.end && b.begin < a.end;
}

// +bytes where a block begins, -bytes where it ends, in the order of events.
std::map<std::size_t, std::pair<std::size_t, bool>> changes_of(
    const std::vector<TracedBlock>& blocks) {
  std::map<std::size_t, std::pair<std::size_t, bool>> changes;
  for (const TracedBlock& block : blocks) {
    changes[block.begin] = {block.bytes, true};
    if (block.end != TracedBlock::still_alive) changes[block.end] = {block.bytes, false};
  }
  return changes;
}

// The most bytes at once, and the event after which that was so.
std::pair<std::size_t, std::size_t> peak_of(const std::vector<TracedBlock>& blocks) {
  std::size_t now = 0;
  std::pair<std::size_t, std::size_t> peak{0, 0};
  for (const auto& [event, change] : changes_of(blocks)) {
    now = change.second ? now + change.first : now - change.first;
    if (now > peak.first) peak = {now, event};
  }
  return peak;
}

}  // namespace

// ---- The trace

void MemoryTrace::allocated(const void* data, std::size_t bytes) {
  alive_[data] = blocks_.size();
  blocks_.push_back({.bytes = size_in_arena(bytes),
                     .begin = events_++,
                     .end = TracedBlock::still_alive,
                     .owner = owner_ ? owner_() : std::string()});
}

void MemoryTrace::deallocated(const void* data) {
  const auto found = alive_.find(data);
  if (found == alive_.end()) return;
  blocks_[found->second].end = events_++;
  alive_.erase(found);
}

std::size_t MemoryTrace::peak() const { return peak_of(blocks_).first; }

std::vector<std::pair<std::string, std::size_t>> MemoryTrace::owners_at_peak() const {
  const std::size_t moment = peak_of(blocks_).second;
  std::map<std::string, std::size_t> bytes;
  for (const TracedBlock& block : blocks_) {
    if (block.begin <= moment && moment < block.end) bytes[block.owner] += block.bytes;
  }
  std::vector<std::pair<std::string, std::size_t>> rows(bytes.begin(), bytes.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return rows;
}

// ---- The layout

ArenaLayout lay_out(std::span<const TracedBlock> blocks, std::size_t alignment) {
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  ArenaLayout layout{std::vector<std::size_t>(blocks.size()), 0};
  std::vector<std::size_t> placed;  // by offset
  for (const std::size_t block : order) {
    const std::size_t bytes = rounded_up(blocks[block].bytes, alignment);
    std::size_t end = 0;  // of what lies before the gap that is looked at
    std::size_t best = 0, smallest = std::numeric_limits<std::size_t>::max();
    for (const std::size_t other : placed) {
      if (!lives_meet(blocks[block], blocks[other])) continue;
      const std::size_t begin = layout.offsets[other];
      if (begin >= end + bytes && begin - end < smallest) {
        smallest = begin - end;
        best = end;
      }
      end = std::max(end, begin + rounded_up(blocks[other].bytes, alignment));
    }
    if (smallest == std::numeric_limits<std::size_t>::max()) best = end;
    layout.offsets[block] = best;
    layout.bytes = std::max(layout.bytes, best + bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), best,
                                   [&](std::size_t offset, std::size_t other) {
                                     return offset < layout.offsets[other];
                                   }),
                  block);
  }
  return layout;
}

// ---- The arena

Arena::Arena(std::vector<TracedBlock> blocks, ArenaLayout layout, void* memory)
    : blocks_(std::move(blocks)),
      layout_(std::move(layout)),
      memory_(static_cast<std::byte*>(memory)) {}

void* Arena::allocate(std::size_t bytes) {
  ++events_;
  if (next_ == blocks_.size() || blocks_[next_].bytes != size_in_arena(bytes)) {
    follows_ = false;
    throw Error("a step asked for " + std::to_string(bytes) + " bytes where the one before it " +
                (next_ == blocks_.size() ? std::string("needed nothing more")
                                         : "asked for " + std::to_string(blocks_[next_].bytes)));
  }
  void* data = memory_ + layout_.offsets[next_];
  alive_[data] = next_++;
  return data;
}

void Arena::deallocate(void* data) noexcept {
  const auto found = alive_.find(data);
  if (found == alive_.end()) return;
  follows_ = follows_ && blocks_[found->second].end == events_;
  ++events_;
  alive_.erase(found);
}

bool Arena::owns(const void* data) const {
  const auto* place = static_cast<const std::byte*>(data);
  return place >= memory_ && place < memory_ + layout_.bytes;
}

}  // namespace cardiograd
