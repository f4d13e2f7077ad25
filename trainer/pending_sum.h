// Sums over the ranks whose bits depend neither on who adds them up nor on when.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <utility>

namespace cardiograd {

// A sum that is under way.
class PendingSum {
 public:
  explicit PendingSum(std::string what) : what_(std::move(what)) {}
  PendingSum(const PendingSum&) = delete;
  PendingSum& operator=(const PendingSum&) = delete;
  virtual ~PendingSum() = default;

  // Goes as far as it can without waiting; true when the view holds the sum. Older sums come first.
  virtual bool advance() = 0;
  // The ranks that it waits for.
  virtual std::set<int> awaited() const = 0;
  // "bucket 3 of step 7"
  const std::string& what() const { return what_; }

 private:
  std::string what_;
};

// One more waits for the oldest.
inline constexpr std::size_t most_pending_sums = 256;

// Elements [begin, end) of a view.
struct Segment {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t size() const { return end - begin; }
};

// What `owner` adds up of a view of `count` elements.
inline Segment segment_of(std::size_t count, int ranks, int owner) {
  const auto border = [&](int at) {
    if (at == ranks) return count;
    return count / static_cast<std::size_t>(ranks) * static_cast<std::size_t>(at) / 16 * 16;
  };
  return {border(owner), border(owner + 1)};
}

// Each target[i] = ((sources[0][i] + sources[1][i]) + ...); targets may be sources.
template <class T>
void add_in_order(std::span<const T* const> sources, std::span<T* const> targets,
                  std::size_t count) {
  constexpr std::size_t tile = 1024;
  std::array<T, tile> total;
  for (std::size_t begin = 0; begin < count; begin += tile) {
    const std::size_t length = std::min(tile, count - begin);
    std::copy_n(sources[0] + begin, length, total.begin());
    for (const T* source : sources.subspan(1)) {
      const T* values = source + begin;
      for (std::size_t i = 0; i < length; ++i) total[i] += values[i];
    }
    for (T* target : targets) std::copy_n(total.begin(), length, target + begin);
  }
}

}  // namespace cardiograd
