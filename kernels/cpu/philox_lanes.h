// Philox for loops that the compiler vectorises: many counters at once, one a lane.
#pragma once

#include <cstdint>

namespace cardiograd {

// The ten rounds of Philox::draw on a counter in four scalars, which an enclosing `omp simd` loop
// makes four vectors.
inline __attribute__((always_inline)) void philox_rounds(std::uint32_t& c0, std::uint32_t& c1,
                                                         std::uint32_t& c2, std::uint32_t& c3,
                                                         std::uint32_t key0, std::uint32_t key1) {
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t low = std::uint64_t{0xD2511F53U} * c0;
    const std::uint64_t high = std::uint64_t{0xCD9E8D57U} * c2;
    c0 = static_cast<std::uint32_t>(high >> 32) ^ c1 ^ key0;
    c1 = static_cast<std::uint32_t>(high);
    c2 = static_cast<std::uint32_t>(low >> 32) ^ c3 ^ key1;
    c3 = static_cast<std::uint32_t>(low);
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
}

}  // namespace cardiograd
