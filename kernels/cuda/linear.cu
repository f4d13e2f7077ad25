// y = x W^T + b, its gradient to x (dy W) and to W (dy^T x): one tiled matrix product in three
// orders of its operands. The gradient to b is a column sum, reduce.cu's.
//
// Bytes: a tile of 64 x 64 results reads 2 x 64 elements for each of `depth` and does 2 x 64 x 64
// FLOPs with them. Bound: f32 FMA (67 TFLOP/s) where rows, columns and depth exceed a tile, memory
// for the tall and thin products of short records. A product with few tiles and great depth (the
// weight gradient, a classifier on a flattened record) is cut along the depth into chunks that
// depend on the shape alone, and the chunks are summed in a fixed order (partials.h).
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/four.h"
#include "kernels/cuda/partials.h"
#include "kernels/linear_shape.h"

namespace cardiograd {
namespace cuda {
namespace {

constexpr int product_threads = 128;
constexpr int tile = 64;        // rows and columns of the result that a block computes
constexpr int tile_depth = 16;  // of both operands in shared memory at a time
// Keeps rows of a tile on 16 bytes, and the transposing stores on different banks but for pairs.
constexpr int tile_pitch = tile + 4;
constexpr int packs_a_thread = tile * tile_depth / 4 / product_threads;

// c [rows, columns] = a b with the given depth; chunk i of the depth goes to c + i rows columns.
struct Product {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;
  std::int64_t depth_chunk = 0;
  bool a_packed = false;  // four neighbours of a lie in one aligned access
  bool b_packed = false;
  bool c_packed = false;

  constexpr std::int64_t chunks() const {
    return depth == 0 ? 1 : (depth + depth_chunk - 1) / depth_chunk;
  }
};

// An operand of `lines` lines (rows of a, columns of b). along_depth: a line's elements are
// neighbours in memory; otherwise the lines are.
template <bool along_depth, class T>
struct Operand {
  const T* data;
  std::int64_t lines;
  std::int64_t depth;
  bool packed;

  // This thread's part of the tile of depth [depth0, end) from line0, into registers.
  CG_DEVICE void fetch(std::int64_t line0, std::int64_t depth0, std::int64_t end,
                       Pack<float, 4> (&parts)[packs_a_thread]) const {
    CG_UNROLL
    for (int i = 0; i < packs_a_thread; ++i) {
      const int pack = static_cast<int>(threadIdx.x) + i * product_threads;
      if constexpr (along_depth) {
        const std::int64_t line = line0 + pack / (tile_depth / 4);
        const std::int64_t at = depth0 + pack % (tile_depth / 4) * 4;
        parts[i] = load_four(data + line * depth + at, line < lines ? end - at : 0, packed);
      } else {
        const std::int64_t line = line0 + pack % (tile / 4) * 4;
        const std::int64_t at = depth0 + pack / (tile / 4);
        parts[i] = load_four(data + at * lines + line, at < end ? lines - line : 0, packed);
      }
    }
  }

  CG_DEVICE static void store(const Pack<float, 4> (&parts)[packs_a_thread],
                              float (&shared)[tile_depth][tile_pitch]) {
    CG_UNROLL
    for (int i = 0; i < packs_a_thread; ++i) {
      const int pack = static_cast<int>(threadIdx.x) + i * product_threads;
      if constexpr (along_depth) {
        CG_UNROLL
        for (int j = 0; j < 4; ++j) {
          shared[pack % (tile_depth / 4) * 4 + j][pack / (tile_depth / 4)] = parts[i][j];
        }
      } else {
        store_pack(&shared[pack / (tile / 4)][pack % (tile / 4) * 4], parts[i]);
      }
    }
  }
};

// sums += the product of a tile of a and one of b: 8 rows by 4 columns a thread, 12 reads of
// shared memory for 32 FMAs; a warp's reads are 4 and 8 different packs.
CG_DEVICE void multiply_tiles(const float (&a)[tile_depth][tile_pitch],
                              const float (&b)[tile_depth][tile_pitch], int row, int column,
                              float (&sums)[8][4]) {
  CG_UNROLL
  for (int k = 0; k < tile_depth; ++k) {
    const Pack<float, 4> upper = load_pack<4>(&a[k][row]);
    const Pack<float, 4> lower = load_pack<4>(&a[k][row + tile / 2]);
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
                            std::int64_t column, const T* bias, Out* c) {
  Pack<float, 4> offset{};
  if (bias != nullptr) offset = load_four(bias + column, product.columns - column, false);
  CG_UNROLL
  for (int i = 0; i < 8; ++i) {
    const std::int64_t at = row + (i < 4 ? i : tile / 2 + i - 4);
    if (at >= product.rows) continue;
    Pack<float, 4> four;
    CG_UNROLL
    for (int j = 0; j < 4; ++j) four[j] = sums[i][j] + offset[j];
    store_four(c + at * product.columns + column, four, product.columns - column, product.c_packed);
  }
}

template <bool a_along_depth, bool b_along_depth, class T, class Out>
CG_KERNEL(product_threads)
void matrix_product_kernel(Product product, const T* __restrict__ a, const T* __restrict__ b,
                           const T* __restrict__ bias, Out* __restrict__ c) {
  CG_SHARED(float[tile_depth][tile_pitch], a_tile);
  CG_SHARED(float[tile_depth][tile_pitch], b_tile);
  const Operand<a_along_depth, T> left{a, product.rows, product.depth, product.a_packed};
  const Operand<b_along_depth, T> right{b, product.columns, product.depth, product.b_packed};
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = (warp / 2 * 4 + lane_of() / 8) * 4;
  const int column = (warp % 2 * 8 + lane_of() % 8) * 4;
  const std::int64_t across = (product.columns + tile - 1) / tile;
  const std::int64_t down = (product.rows + tile - 1) / tile;
  for (std::int64_t item = blockIdx.x; item < across * down * product.chunks(); item += gridDim.x) {
    const std::int64_t column0 = item % across * tile;
    const std::int64_t row0 = item / across % down * tile;
    const std::int64_t chunk = item / across / down;
    const std::int64_t begin = chunk * product.depth_chunk;
    const std::int64_t left_over = product.depth - begin;
    const std::int64_t end =
        begin + (left_over < product.depth_chunk ? left_over : product.depth_chunk);
    float sums[8][4] = {};
    Pack<float, 4> a_part[packs_a_thread];
    Pack<float, 4> b_part[packs_a_thread];
    left.fetch(row0, begin, end, a_part);
    right.fetch(column0, begin, end, b_part);
    for (std::int64_t k = begin; k < end; k += tile_depth) {
      sync_block();  // the tiles before these have been read
      left.store(a_part, a_tile);
      right.store(b_part, b_tile);
      sync_block();
      if (k + tile_depth < end) {  // on their way during the products
        left.fetch(row0, k + tile_depth, end, a_part);
        right.fetch(column0, k + tile_depth, end, b_part);
      }
      multiply_tiles(a_tile, b_tile, row, column, sums);
    }
    write_result(product, sums, row0 + row, column0 + column, bias,
                 c + chunk * product.rows * product.columns);
  }
}

// Enough blocks to fill a GPU, of at least 256 steps of depth each.
std::int64_t depth_chunk_of(const Product& product) {
  constexpr std::int64_t blocks_wanted = 512;
  constexpr std::int64_t least_depth = 256;
  const std::int64_t tiles =
      ((product.rows + tile - 1) / tile) * ((product.columns + tile - 1) / tile);
  const std::int64_t chunks =
      std::clamp<std::int64_t>(product.depth / least_depth, 1, 1 + blocks_wanted / tiles);
  const std::int64_t depth = (product.depth + chunks - 1) / chunks;
  return std::max<std::int64_t>((depth + tile_depth - 1) / tile_depth, 1) * tile_depth;
}

// c = a b + bias; bias may be null. rows and columns are positive.
template <bool a_along_depth, bool b_along_depth, class T>
void multiply(const Device& device, BlockCache& blocks, Product product, const T* a, const T* b,
              const T* bias, T* c) {
  product.depth_chunk = depth_chunk_of(product);
  product.a_packed = fours_fit(a, a_along_depth ? product.depth : product.rows);
  product.b_packed = fours_fit(b, b_along_depth ? product.depth : product.columns);
  const std::int64_t chunks = product.chunks();
  const std::int64_t items =
      ((product.rows + tile - 1) / tile) * ((product.columns + tile - 1) / tile) * chunks;
  const auto grid = static_cast<unsigned>(std::min<std::int64_t>(items, 1 << 30));
  if (chunks == 1) {
    product.c_packed = fours_fit(c, product.columns);
    launch<matrix_product_kernel<a_along_depth, b_along_depth, T, T>>(
        grid, product_threads, 0, device.stream, product, a, b, bias, c);
    return;
  }
  const std::int64_t count = product.rows * product.columns;
  const Scratch<float> partial(blocks, chunks * count);
  product.c_packed = fours_fit(partial.data(), product.columns);
  launch<matrix_product_kernel<a_along_depth, b_along_depth, T, float>>(
      grid, product_threads, 0, device.stream, product, a, b, static_cast<const T*>(nullptr),
      partial.data());
  sum_partials(device, partial.data(), chunks, count, bias, product.columns, c);
}

}  // namespace
}  // namespace cuda

void CudaBackend::linear_forward(ConstView x, ConstView weight, ConstView bias, View y) {
  const LinearShape shape = linear_shape(x.dims, weight.dims, y.dims);
  check_bias(shape, bias);
  if (y.numel() == 0) return;
  cuda::dispatch_storage("linear", {y, x, weight, bias}, [&](auto element) {
    using T = decltype(element);
    cuda::multiply<true, true>(device_, blocks_, {shape.rows, shape.outputs, shape.inputs},
                               cuda::elements<T>(x), cuda::elements<T>(weight),
                               cuda::elements<T>(bias), cuda::elements<T>(y));
  });
}

void CudaBackend::linear_backward_data(ConstView dy, ConstView weight, View dx) {
  const LinearShape shape = linear_shape(dx.dims, weight.dims, dy.dims);
  if (dx.numel() == 0) return;
  cuda::dispatch_storage("linear", {dx, dy, weight}, [&](auto element) {
    using T = decltype(element);
    cuda::multiply<true, false, T>(device_, blocks_, {shape.rows, shape.inputs, shape.outputs},
                                   cuda::elements<T>(dy), cuda::elements<T>(weight), nullptr,
                                   cuda::elements<T>(dx));
  });
}

void CudaBackend::linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) {
  const LinearShape shape = linear_shape(x.dims, dweight.dims, dy.dims);
  check_bias(shape, dbias);
  if (dbias.present()) {
    sum({dy.data, dy.dtype, {shape.rows, shape.outputs}}, 1.0,
        {dbias.data, dbias.dtype, {1, shape.outputs}});
  }
  if (dweight.numel() == 0) return;
  cuda::dispatch_storage("linear", {dweight, x, dy}, [&](auto element) {
    using T = decltype(element);
    cuda::multiply<false, false, T>(device_, blocks_, {shape.outputs, shape.inputs, shape.rows},
                                    cuda::elements<T>(dy), cuda::elements<T>(x), nullptr,
                                    cuda::elements<T>(dweight));
  });
}

}  // namespace cardiograd
