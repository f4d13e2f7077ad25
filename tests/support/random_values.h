// Deterministic test values: the same on every machine, compiler and standard library.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/philox.h"

namespace cardiograd::testing {

// A seed from a name (64-bit FNV-1a), so that each test and operand draws values of its own.
inline std::uint64_t seed_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char letter : name) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;
  }
  return hash;
}

// count values in [low, high), each exact in float32.
inline std::vector<double> uniform_values(std::int64_t count, double low, double high,
                                          std::uint64_t seed) {
  const RandomKey key{seed, 0, 0};
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const Philox::Words words = key.draw(0, static_cast<std::uint32_t>(i / 4));
    const double unit = Philox::uniform(words[static_cast<std::size_t>(i % 4)]);
    values.push_back(static_cast<float>(low + (high - low) * unit));
  }
  return values;
}

}  // namespace cardiograd::testing
