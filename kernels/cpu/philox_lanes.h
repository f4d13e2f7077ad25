// Philox for loops that the compiler vectorises: many counters at once, one a lane.
#pragma once

#include <cstdint>

#include "kernels/philox.h"

namespace cardiograd {

// The ten rounds of Philox::draw on a counter in four scalars, which an enclosing `omp simd` loop
// makes four vectors. The lower halves of the products are multiplications of their own: vectors of
// 32 bits have those, and the upper halves then need fewer shuffles.
inline __attribute__((always_inline)) void philox_rounds(std::uint32_t& c0, std::uint32_t& c1,
                                                         std::uint32_t& c2, std::uint32_t& c3,
                                                         std::uint32_t key0, std::uint32_t key1) {
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t low = 0xD2511F53U * c0;
    const std::uint32_t high = 0xCD9E8D57U * c2;
    const auto over_low = static_cast<std::uint32_t>((std::uint64_t{0xD2511F53U} * c0) >> 32);
    const auto over_high = static_cast<std::uint32_t>((std::uint64_t{0xCD9E8D57U} * c2) >> 32);
    c0 = over_high ^ c1 ^ key0;
    c1 = high;
    c2 = over_low ^ c3 ^ key1;
    c3 = low;
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
}

inline constexpr std::int64_t philox_lanes = 64;                // blocks drawn together
inline constexpr std::int64_t philox_words = 4 * philox_lanes;  // the words that they give

// The draws of one record.
struct PhiloxStream {
  RandomKey key;
  std::uint32_t record = 0;
};

// The draws of blocks first_block .. first_block + philox_lanes - 1, as RandomKey::draw gives them:
// word j of block i at words[i * BlockStride + j * WordStride]. Written in scalars, one lane a loop
// turn, so that a vector register holds one word of many blocks.
template <int BlockStride, int WordStride>
inline __attribute__((always_inline)) void draw_lanes(const PhiloxStream& stream,
                                                      std::uint32_t first_block,
                                                      std::uint32_t* __restrict words) {
  const std::uint32_t record = stream.record;
  const std::uint32_t epoch = stream.key.epoch;
  const std::uint32_t operation = stream.key.operation;
  const auto seed0 = static_cast<std::uint32_t>(stream.key.seed);
  const auto seed1 = static_cast<std::uint32_t>(stream.key.seed >> 32);
#pragma omp simd
  for (std::uint32_t i = 0; i < philox_lanes; ++i) {
    std::uint32_t c0 = first_block + i;
    std::uint32_t c1 = record;
    std::uint32_t c2 = epoch;
    std::uint32_t c3 = operation;
    philox_rounds(c0, c1, c2, c3, seed0, seed1);
    words[BlockStride * i] = c0;
    words[BlockStride * i + WordStride] = c1;
    words[BlockStride * i + 2 * WordStride] = c2;
    words[BlockStride * i + 3 * WordStride] = c3;
  }
}

// One block after the other: element e of a record has word e % 4 of block e / 4.
inline __attribute__((always_inline)) void draw_words(const PhiloxStream& stream,
                                                      std::uint32_t first_block,
                                                      std::uint32_t* __restrict words) {
  draw_lanes<4, 1>(stream, first_block, words);
}

}  // namespace cardiograd
