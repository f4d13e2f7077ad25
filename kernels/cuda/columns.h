// Work on rows x channels with a channel's own coefficients: two sums a channel over all rows, in
// two stages, and maps.
//
// A block is a tile: threadIdx.x counts packs of neighbouring channels (a power of two up to 32),
// threadIdx.y rows, so that a thread keeps its channels' coefficients in registers while it walks
// down its rows, and a warp reads neighbouring memory. The first stage sums chunks of rows whose
// number and length depend on the shape alone, the second the chunks, both in a fixed order: no
// atomics, the same bits on every device and in every run.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/block_cache.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/grid.h"

namespace cardiograd::cuda {

// What sums over rows are held in. The gradient of a normalisation over few rows is a difference of
// nearly equal terms, which float would lose for f32 storage; a bf16 result has fewer digits than
// float keeps. On Hopper a double's arithmetic costs twice a float's, which memory still hides.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, float>, double, float>;

struct Columns {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
};

inline constexpr int finish_rows = 32;  // threads that add up one column's chunks
inline constexpr int finish_threads = 32 * finish_rows;

// Rows that a block sums: at least 128, and so many that there are at most 512 chunks, which fill a
// Hopper once at four blocks a multiprocessor. More would only lengthen the second stage.
inline std::int64_t column_chunk_rows(std::int64_t rows) {
  return std::max<std::int64_t>(128, (rows + 511) / 512);
}

// The block of a grid whose x is tiles of channels, and the tiles.
struct ColumnGrid {
  dim3 block;
  unsigned across;
};

template <int n>
ColumnGrid column_grid(const Columns& shape) {
  unsigned columns = 1;
  while (columns < 32 && std::int64_t{columns} * n < shape.channels) columns *= 2;
  const std::int64_t width = std::int64_t{columns} * n;
  return {dim3(columns, block_threads / columns),
          static_cast<unsigned>((shape.channels + width - 1) / width)};
}

// The first of this thread's n channels.
template <int n>
CG_DEVICE std::int64_t first_column() {
  return (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * n;
}

// partial[chunk][0 and 1][channel] = the chunk's sums of the two terms. Terms:
//   Total, n                          what sums are held in; channels a thread takes
//   Fixed fixed(column)               what a channel needs, loaded once
//   add(fixed, row, at, a, b)         adds row `row`, whose first element is `at`, to a[n] and b[n]
template <class Terms>
CG_KERNEL(block_threads)
void column_sums_kernel(Terms terms, Columns shape, std::int64_t rows_a_chunk,
                        typename Terms::Total* __restrict__ partial) {
  using Total = typename Terms::Total;
  constexpr int n = Terms::n;
  CG_SHARED(Total[2 * n][block_threads], sums);
  const auto columns = static_cast<int>(blockDim.x);
  const auto lanes = static_cast<int>(blockDim.y);
  const auto lane = static_cast<int>(threadIdx.y);
  const int mine = lane * columns + static_cast<int>(threadIdx.x);
  const std::int64_t column = first_column<n>();
  const bool inside = column < shape.channels;
  for (std::int64_t chunk = blockIdx.y; chunk * rows_a_chunk < shape.rows; chunk += gridDim.y) {
    Total a[n] = {};
    Total b[n] = {};
    if (inside) {
      const auto fixed = terms.fixed(column);
      const std::int64_t next = (chunk + 1) * rows_a_chunk;
      const std::int64_t end = next < shape.rows ? next : shape.rows;
      std::int64_t row = chunk * rows_a_chunk + lane;
      std::int64_t at = row * shape.channels + column;
      for (; row < end; row += lanes, at += lanes * shape.channels) {
        terms.add(fixed, row, at, a, b);
      }
    }
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      sums[j][mine] = a[j];
      sums[n + j][mine] = b[j];
    }
    sync_block();
    for (int half = lanes / 2; half > 0; half /= 2) {
      if (lane < half) {
        CG_UNROLL
        for (int j = 0; j < 2 * n; ++j) sums[j][mine] += sums[j][mine + half * columns];
      }
      sync_block();
    }
    if (lane == 0 && inside) {
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        partial[2 * chunk * shape.channels + column + j] = sums[j][mine];
        partial[(2 * chunk + 1) * shape.channels + column + j] = sums[n + j][mine];
      }
    }
    sync_block();  // sums is written again for the next chunk
  }
}

// finish(channel, first sum, second sum), once a channel. A block takes 32 channels.
template <class Finish, class Total>
CG_KERNEL(finish_threads)
void column_finish_kernel(Finish finish, const Total* __restrict__ partial, std::int64_t chunks,
                          std::int64_t channels) {
  CG_SHARED(Total[2][finish_threads], sums);
  const auto lane = static_cast<int>(threadIdx.y);
  const int mine = lane * 32 + static_cast<int>(threadIdx.x);
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * 32 + threadIdx.x;
  Total a = 0;
  Total b = 0;
  if (column < channels) {
    for (std::int64_t chunk = lane; chunk < chunks; chunk += finish_rows) {
      a += partial[2 * chunk * channels + column];
      b += partial[(2 * chunk + 1) * channels + column];
    }
  }
  sums[0][mine] = a;
  sums[1][mine] = b;
  sync_block();
  for (int half = finish_rows / 2; half > 0; half /= 2) {
    if (lane < half) {
      sums[0][mine] += sums[0][mine + half * 32];
      sums[1][mine] += sums[1][mine + half * 32];
    }
    sync_block();
  }
  if (lane == 0 && column < channels) finish(column, sums[0][mine], sums[1][mine]);
}

// Both stages.
template <class Terms, class Finish>
void column_sums(const Device& device, BlockCache& blocks, const Terms& terms, const Finish& finish,
                 const Columns& shape) {
  using Total = typename Terms::Total;
  const std::int64_t rows = column_chunk_rows(shape.rows);
  const std::int64_t chunks = (shape.rows + rows - 1) / rows;
  const Scratch<Total> partial(blocks, 2 * chunks * shape.channels);
  const ColumnGrid grid = column_grid<Terms::n>(shape);
  launch<column_sums_kernel<Terms>>(dim3(grid.across, device.blocks_for(chunks, 1)), grid.block, 0,
                                    device.stream, terms, shape, rows, partial.data());
  launch<column_finish_kernel<Finish, Total>>(
      static_cast<unsigned>((shape.channels + 31) / 32), dim3(32, finish_rows), 0, device.stream,
      finish, static_cast<const Total*>(partial.data()), chunks, shape.channels);
}

// operation.apply(fixed, at) for every pack of elements, where fixed = operation.fixed(column).
template <class Operation>
CG_KERNEL(block_threads)
void column_map_kernel(Operation operation, Columns shape) {
  const std::int64_t column = first_column<Operation::n>();
  const bool inside = column < shape.channels;
  const auto fixed = operation.fixed(inside ? column : 0);
  const std::int64_t rows = inside ? shape.rows : 0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * blockDim.y;
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.y) * blockDim.y + threadIdx.y;
       row < rows; row += step) {
    operation.apply(fixed, row * shape.channels + column);
  }
}

template <class Operation>
void column_map(const Device& device, const Operation& operation, const Columns& shape) {
  constexpr std::int64_t rows_a_thread = 8;  // for which it loads its coefficients once
  const ColumnGrid grid = column_grid<Operation::n>(shape);
  const std::int64_t rows = rows_a_thread * grid.block.y;
  launch<column_map_kernel<Operation>>(
      dim3(grid.across, device.blocks_for((shape.rows + rows - 1) / rows, 1)), grid.block, 0,
      device.stream, operation, shape);
}

}  // namespace cardiograd::cuda
