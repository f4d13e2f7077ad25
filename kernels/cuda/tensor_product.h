// Products of bf16 matrices on tensor cores, summed in f32: the linear layer's, and convolution's
// as products of overlapping rows. The tile loop is tensor_tile.h's, its kernel
// tensor_product.cu's.
#pragma once

#include <cstdint>

#include "kernels/cpu/block_cache.h"
#include "kernels/cuda/device.h"
#include "kernels/dtype.h"

namespace cardiograd::cuda {

// A matrix as it lies in memory. Row r is step r % steps of record r / steps; its columns are runs
// of `run` neighbouring elements:
//   element (r, c) = data[r / steps record_jump + place]
//   place = first + r % steps row_jump + c / run run_jump + c % run
// and 0 where place is outside [0, record_size): a convolution's padding. Neighbouring rows of a
// convolution overlap, so nothing is unfolded in memory.
struct TensorMatrix {
  const BFloat16* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t steps = 1;
  std::int64_t record_jump = 0;
  std::int64_t first = 0;
  std::int64_t row_jump = 0;
  std::int64_t run = 0;
  std::int64_t run_jump = 0;
  std::int64_t record_size = 0;
};

inline TensorMatrix plain_matrix(const BFloat16* data, std::int64_t rows, std::int64_t columns) {
  return {data, rows, columns, 1, columns, 0, 0, columns, 0, columns};
}

// A factor of a product a b. along_depth: its rows are rows of a or columns of b, and its columns
// the depth that is summed over; otherwise the other way round.
struct TensorFactor {
  TensorMatrix matrix;
  bool along_depth = false;

  std::int64_t lines() const { return along_depth ? matrix.rows : matrix.columns; }
  std::int64_t depth() const { return along_depth ? matrix.columns : matrix.rows; }
};

// Where a b + bias + more_bias goes (both [columns], null: none): y, or sums in f32 where y is
// null. Row r is written to row r / steps record_rows + first + r % steps stride.
struct TensorRows {
  const BFloat16* bias = nullptr;
  const BFloat16* more_bias = nullptr;
  BFloat16* y = nullptr;
  float* sums = nullptr;
  std::int64_t steps = 1;
  std::int64_t record_rows = 1;
  std::int64_t first = 0;
  std::int64_t stride = 1;

  constexpr bool contiguous() const { return steps == record_rows && stride == 1; }
};

// ReLU of a b + bias, the greatest of each `pool` neighbouring rows, and which it was
// (Backend::conv1d_relu_maxpool_forward).
struct TensorPool {
  const BFloat16* bias = nullptr;
  BFloat16* y = nullptr;
  std::uint8_t* winner = nullptr;
  int pool = 1;
};

// Windows that fit a tile.
inline constexpr std::int64_t tensor_pool_most = 64;

// Either a is along the depth, or neither is. Rows and columns of the result are positive. Throws
// ShapeError where a record or a side is beyond 2^30 elements.
void tensor_product(const Device& device, BlockCache& blocks, const TensorFactor& a,
                    const TensorFactor& b, const TensorRows& to);

// a along the depth, b not; the rows of a are whole windows of at most tensor_pool_most.
void tensor_product(const Device& device, const TensorFactor& a, const TensorFactor& b,
                    const TensorPool& to);

}  // namespace cardiograd::cuda
