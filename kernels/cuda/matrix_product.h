// A tiled matrix product in f32 arithmetic, of operands that name themselves: the linear layer's
// and the products around the LSTM's recurrence.
//
// Bytes: a tile of 64 x 64 results reads 2 x 64 elements for each of `depth` and does 2 x 64 x 64
// FLOPs with them. Bound: f32 FMA (67 TFLOP/s) where rows, columns and depth exceed a tile, memory
// for the tall and thin products of short records. A product with few tiles and great depth is cut
// along the depth into chunks that depend on the shape alone, which are summed in a fixed order.
#pragma once

#include "kernels/cuda/four.h"
#include "kernels/cuda/grid.h"

namespace cardiograd::cuda {

inline constexpr int product_threads = 128;
inline constexpr int product_tile = 64;   // rows and columns of the result that a block computes
inline constexpr int product_depth = 16;  // of both operands in shared memory at a time
// Keeps rows of a tile on 16 bytes, and the transposing stores on different banks but for pairs.
inline constexpr int product_pitch = product_tile + 4;
inline constexpr int packs_a_thread = product_tile * product_depth / 4 / product_threads;

// c [rows, columns] = a b with the given depth; chunk i of the depth goes to c + i rows columns.
struct Product {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;
  std::int64_t depth_chunk = 0;  // a multiple of product_depth

  constexpr std::int64_t chunks() const {
    return depth == 0 ? 1 : (depth + depth_chunk - 1) / depth_chunk;
  }
  constexpr std::int64_t items() const {
    return ((rows + product_tile - 1) / product_tile) *
           ((columns + product_tile - 1) / product_tile) * chunks();
  }
};

// An operand of `lines` lines (rows of a, columns of b) in memory. along: a line's elements are
// neighbours; otherwise the lines are. Every operand has `along` and `four`.
template <bool along_depth, class T>
struct MatrixOperand {
  static constexpr bool along = along_depth;
  const T* data = nullptr;
  std::int64_t lines = 0;
  std::int64_t depth = 0;
  bool packed = false;  // four neighbours lie in one aligned access

  MatrixOperand(const T* data_, std::int64_t lines_, std::int64_t depth_)
      : data(data_),
        lines(lines_),
        depth(depth_),
        packed(fours_fit(data_, along ? depth_ : lines_)) {}

  // Along the depth, elements at, at + 1 .. of a line; otherwise element `at` of lines line, line +
  // 1 ..; 0 from depth `end` on and beyond the last line.
  CG_DEVICE Pack<float, 4> four(std::int64_t line, std::int64_t at, std::int64_t end) const {
    if constexpr (along) {
      return load_four(data + line * depth + at, line < lines ? end - at : 0, packed);
    } else {
      return load_four(data + at * lines + line, at < end ? lines - line : 0, packed);
    }
  }
};

// Where a b + bias + more_bias (null: none) goes.
template <class T, class Out>
struct ProductResult {
  const T* bias = nullptr;
  const T* more_bias = nullptr;
  Out* c = nullptr;
  bool packed = false;
};

// This thread's part of an operand's tile of depth [depth0, end) from line0, into registers.
template <class Operand>
CG_DEVICE void fetch_part(const Operand& operand, std::int64_t line0, std::int64_t depth0,
                          std::int64_t end, Pack<float, 4> (&parts)[packs_a_thread]) {
  CG_UNROLL
  for (int i = 0; i < packs_a_thread; ++i) {
    const int pack = static_cast<int>(threadIdx.x) + i * product_threads;
    if constexpr (Operand::along) {
      parts[i] = operand.four(line0 + pack / (product_depth / 4),
                              depth0 + pack % (product_depth / 4) * 4, end);
    } else {
      parts[i] = operand.four(line0 + pack % (product_tile / 4) * 4,
                              depth0 + pack / (product_tile / 4), end);
    }
  }
}

template <bool along>
CG_DEVICE void store_part(const Pack<float, 4> (&parts)[packs_a_thread],
                          float (&shared)[product_depth][product_pitch]) {
  CG_UNROLL
  for (int i = 0; i < packs_a_thread; ++i) {
    const int pack = static_cast<int>(threadIdx.x) + i * product_threads;
    if constexpr (along) {
      CG_UNROLL
      for (int j = 0; j < 4; ++j) {
        shared[pack % (product_depth / 4) * 4 + j][pack / (product_depth / 4)] = parts[i][j];
      }
    } else {
      store_pack(&shared[pack / (product_tile / 4)][pack % (product_tile / 4) * 4], parts[i]);
    }
  }
}

// sums += the product of a tile of a and one of b: 8 rows by 4 columns a thread, 12 reads of
// shared memory for 32 FMAs; a warp's reads are 4 and 8 different packs.
CG_DEVICE void multiply_tiles(const float (&a)[product_depth][product_pitch],
                              const float (&b)[product_depth][product_pitch], int row, int column,
                              float (&sums)[8][4]) {
  CG_UNROLL
  for (int k = 0; k < product_depth; ++k) {
    const Pack<float, 4> upper = load_pack<4>(&a[k][row]);
    const Pack<float, 4> lower = load_pack<4>(&a[k][row + product_tile / 2]);
    const Pack<float, 4> right = load_pack<4>(&b[k][column]);
    CG_UNROLL
    for (int i = 0; i < 4; ++i) {
      CG_UNROLL
      for (int j = 0; j < 4; ++j) {
        sums[i][j] = math::fma(upper[i], right[j], sums[i][j]);
        sums[i + 4][j] = math::fma(lower[i], right[j], sums[i + 4][j]);
      }
    }
  }
}

template <class T, class Out>
CG_DEVICE void write_result(const Product& product, const float (&sums)[8][4], std::int64_t row,
                            std::int64_t column, const ProductResult<T, Out>& result, Out* c) {
  const std::int64_t valid = product.columns - column;
  Pack<float, 4> offset{};
  if (result.bias != nullptr) offset = load_four(result.bias + column, valid, false);
  if (result.more_bias != nullptr) {
    const Pack<float, 4> more = load_four(result.more_bias + column, valid, false);
    CG_UNROLL
    for (int j = 0; j < 4; ++j) offset[j] += more[j];
  }
  CG_UNROLL
  for (int i = 0; i < 8; ++i) {
    const std::int64_t at = row + (i < 4 ? i : product_tile / 2 + i - 4);
    if (at >= product.rows) continue;
    Pack<float, 4> four;
    CG_UNROLL
    for (int j = 0; j < 4; ++j) four[j] = sums[i][j] + offset[j];
    store_four(c + at * product.columns + column, four, valid, result.packed);
  }
}

template <class A, class B, class T, class Out>
CG_KERNEL(product_threads)
void matrix_product_kernel(Product product, A a, B b, ProductResult<T, Out> result) {
  CG_SHARED(float[product_depth][product_pitch], a_tile);
  CG_SHARED(float[product_depth][product_pitch], b_tile);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = (warp / 2 * 4 + lane_of() / 8) * 4;
  const int column = (warp % 2 * 8 + lane_of() % 8) * 4;
  const std::int64_t across = (product.columns + product_tile - 1) / product_tile;
  const std::int64_t down = (product.rows + product_tile - 1) / product_tile;
  for (std::int64_t item = blockIdx.x; item < across * down * product.chunks(); item += gridDim.x) {
    const std::int64_t column0 = item % across * product_tile;
    const std::int64_t row0 = item / across % down * product_tile;
    const std::int64_t chunk = item / across / down;
    const std::int64_t begin = chunk * product.depth_chunk;
    const std::int64_t left_over = product.depth - begin;
    const std::int64_t end =
        begin + (left_over < product.depth_chunk ? left_over : product.depth_chunk);
    float sums[8][4] = {};
    Pack<float, 4> a_part[packs_a_thread];
    Pack<float, 4> b_part[packs_a_thread];
    fetch_part(a, row0, begin, end, a_part);
    fetch_part(b, column0, begin, end, b_part);
    for (std::int64_t k = begin; k < end; k += product_depth) {
      sync_block();  // the tiles before these have been read
      store_part<A::along>(a_part, a_tile);
      store_part<B::along>(b_part, b_tile);
      sync_block();
      if (k + product_depth < end) {  // on their way during the products
        fetch_part(a, row0, k + product_depth, end, a_part);
        fetch_part(b, column0, k + product_depth, end, b_part);
      }
      multiply_tiles(a_tile, b_tile, row, column, sums);
    }
    write_result(product, sums, row0 + row, column0 + column, result,
                 result.c + chunk * product.rows * product.columns);
  }
}

// ---- The host's side ----------------------------------------------------------------------------

// Enough blocks to fill a GPU, of at least 256 steps of depth each.
inline std::int64_t depth_chunk_of(const Product& product) {
  constexpr std::int64_t blocks_wanted = 512;
  constexpr std::int64_t least_depth = 256;
  const std::int64_t tiles = ((product.rows + product_tile - 1) / product_tile) *
                             ((product.columns + product_tile - 1) / product_tile);
  const std::int64_t chunks =
      std::clamp<std::int64_t>(product.depth / least_depth, 1, 1 + blocks_wanted / tiles);
  const std::int64_t depth = (product.depth + chunks - 1) / chunks;
  return std::max<std::int64_t>((depth + product_depth - 1) / product_depth, 1) * product_depth;
}

// rows and columns are positive.
template <class A, class B, class T, class Out>
void multiply_matrices(const Device& device, const Product& product, const A& a, const B& b,
                       ProductResult<T, Out> result) {
  result.packed = fours_fit(result.c, product.columns);
  launch<matrix_product_kernel<A, B, T, Out>>(
      static_cast<unsigned>(std::min<std::int64_t>(product.items(), 1 << 30)), product_threads, 0,
      device.stream, product, a, b, result);
}

}  // namespace cardiograd::cuda
