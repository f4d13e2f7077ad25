// Loops over fixed blocks, shared by the CPU's operations. The partition depends on the sizes
// alone, never on the number of threads, and partial results are combined in block order: the same
// input gives the same bits on 1 or 64 threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/cpu/block_cache.h"

namespace cardiograd {

// Elements of a light operation (a few instructions each) that repay a thread's wake-up.
inline constexpr std::int64_t parallel_grain = 16384;

// body(begin, end) over [0, count) in blocks of `grain`; serial below two blocks, because a
// parallel region costs microseconds.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t grain, const Body& body) {
  if (count <= 0) return;
  if (count < 2 * grain) {
    body(std::int64_t{0}, count);
    return;
  }
  const std::int64_t blocks = (count + grain - 1) / grain;
#pragma omp parallel for schedule(static)
  for (std::int64_t block = 0; block < blocks; ++block) {
    body(block * grain, std::min(count, (block + 1) * grain));
  }
}

// The same over rows of `width` elements each.
template <class Body>
void parallel_rows(std::int64_t rows, std::int64_t width, const Body& body) {
  parallel_for(rows, std::max<std::int64_t>(1, parallel_grain / std::max<std::int64_t>(1, width)),
               body);
}

// Sum of block_sum(begin, end) over at most 256 blocks of [0, count).
template <class BlockSum>
double ordered_sum(std::int64_t count, const BlockSum& block_sum) {
  constexpr std::int64_t most = 256;
  const std::int64_t grain = std::max(parallel_grain, (count + most - 1) / most);
  const std::int64_t blocks = (count + grain - 1) / grain;
  std::array<double, most> partial;
  const auto run = [&](std::int64_t block) {
    partial[static_cast<std::size_t>(block)] =
        block_sum(block * grain, std::min(count, (block + 1) * grain));
  };
  if (blocks < 2) {
    if (blocks == 1) run(0);
  } else {
#pragma omp parallel for schedule(static)
    for (std::int64_t block = 0; block < blocks; ++block) run(block);
  }
  double total = 0.0;
  for (std::int64_t block = 0; block < blocks; ++block) {
    total += partial[static_cast<std::size_t>(block)];
  }
  return total;
}

// Sums over rows of [rows, columns], `Sums` of them at once, in double.
// tile(row_begin, row_end, column_begin, column_end, accumulators) adds its rows to the zeroed
// accumulators: sum s of column c is accumulators[s * width + c - column_begin], where width is
// column_end - column_begin. totals receives [Sums, columns].
template <int Sums, class Tile>
void column_sums(BlockCache& blocks, std::int64_t rows, std::int64_t columns, double* totals,
                 const Tile& tile) {
  constexpr std::int64_t tile_width = 512;
  constexpr std::int64_t most_row_blocks = 64;
  if (columns <= 0) return;
  const std::int64_t width = std::min(columns, tile_width);
  const std::int64_t column_tiles = (columns + width - 1) / width;
  const std::int64_t row_blocks =
      std::clamp<std::int64_t>(rows * width / parallel_grain, 1, most_row_blocks);
  const Scratch<double> partial(blocks, row_blocks * Sums * columns);
  // A tile's accumulators lie together; a block of rows holds its tiles one after the other.
  const auto run = [&](std::int64_t item) {
    const std::int64_t block = item / column_tiles;
    const std::int64_t begin = item % column_tiles * width;
    const std::int64_t end = std::min(columns, begin + width);
    double* accumulators = partial.data() + (block * columns + begin) * Sums;
    std::fill_n(accumulators, Sums * (end - begin), 0.0);
    tile(rows * block / row_blocks, rows * (block + 1) / row_blocks, begin, end, accumulators);
  };
  const std::int64_t items = row_blocks * column_tiles;
  if (rows * columns < 2 * parallel_grain) {
    for (std::int64_t item = 0; item < items; ++item) run(item);
  } else {
#pragma omp parallel for schedule(static)
    for (std::int64_t item = 0; item < items; ++item) run(item);
  }
  for (int s = 0; s < Sums; ++s) {
    for (std::int64_t begin = 0; begin < columns; begin += width) {
      const std::int64_t wide = std::min(width, columns - begin);
      for (std::int64_t c = 0; c < wide; ++c) {
        double total = 0.0;
        for (std::int64_t block = 0; block < row_blocks; ++block) {
          total += partial[(block * columns + begin) * Sums + s * wide + c];
        }
        totals[s * columns + begin + c] = total;
      }
    }
  }
}

}  // namespace cardiograd
