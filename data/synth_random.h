// One stream of random numbers for one purpose in one synthetic record, drawn from Philox.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>

#include "kernels/philox.h"

namespace cardiograd {

// What a stream is for. A new use takes a new number, so that it leaves the other streams alone.
enum class SynthStream : std::uint32_t {
  grouping = 0x5e01,
  patient,
  diagnoses,
  visit,
  shape,
  rhythm,
  beats,
  noise,
  report,
  table
};

// Draws depend on (seed, stream, record) and on their order within the stream, on nothing else: any
// thread may make any record.
class SynthRandom {
 public:
  SynthRandom(std::uint64_t seed, SynthStream stream, std::uint32_t record)
      : key_{seed, 0, static_cast<std::uint32_t>(stream)}, record_(record) {}

  std::uint32_t word() {
    if (used_ == 4) {
      words_ = key_.draw(record_, block_++);
      used_ = 0;
    }
    return words_[used_++];
  }
  // [0, 1)
  double uniform() { return static_cast<double>(Philox::uniform(word())); }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double phase() { return uniform(0, 2 * std::numbers::pi); }
  bool chance(double probability) { return uniform() < probability; }
  // 0 .. count - 1
  std::size_t below(std::size_t count) {
    return static_cast<std::size_t>((std::uint64_t{word()} * count) >> 32);
  }
  // Unit variance, bounded by 3.46: the sum of four uniform numbers (Irwin-Hall). The bound keeps a
  // patient's traits within what is physiological, and it needs no logarithm per sample of noise.
  double normal() {
    const std::uint32_t a = word();
    const std::uint32_t b = word();
    const auto sum = static_cast<double>((a & 0xffffU) + (a >> 16) + (b & 0xffffU) + (b >> 16));
    return (sum / 65536.0 - 2.0) * std::numbers::sqrt3;
  }
  double normal(double mean, double deviation) { return mean + deviation * normal(); }
  // exp of a normal number: a factor around 1.
  double factor(double deviation) { return std::exp(deviation * normal()); }
  // An index, with probability proportional to its weight.
  template <class Items, class Weight>
  std::size_t pick(const Items& items, Weight weight_of) {
    double total = 0;
    for (const auto& item : items) total += weight_of(item);
    double left = uniform() * total;
    std::size_t index = 0;
    for (const auto& item : items) {
      left -= weight_of(item);
      if (left < 0) return index;
      ++index;
    }
    return index - 1;
  }

 private:
  RandomKey key_;
  std::uint32_t record_;
  std::uint32_t block_ = 0;
  Philox::Words words_{};
  unsigned used_ = 4;
};

}  // namespace cardiograd
