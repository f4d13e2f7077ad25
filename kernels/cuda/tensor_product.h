// Products on tensor cores, summed in f32: the linear layer's, and convolution's as products of
// overlapping rows. T is the storage: BFloat16, or float, whose values are rounded to TF32 when
// they are multiplied. The tile loop is tensor_tile.h's, its kernel tensor_product.cu's.
#pragma once

#include <cstdint>
#include <type_traits>

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
template <class T>
struct TensorMatrix {
  const T* data = nullptr;
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

template <class T>
TensorMatrix<T> plain_matrix(const T* data, std::int64_t rows, std::int64_t columns) {
  return {data, rows, columns, 1, columns, 0, 0, columns, 0, columns};
}

// A factor of a product a b. along_depth: its rows are rows of a or columns of b, and its columns
// the depth that is summed over; otherwise the other way round.
template <class T>
struct TensorFactor {
  TensorMatrix<T> matrix;
  bool along_depth = false;

  std::int64_t lines() const { return along_depth ? matrix.rows : matrix.columns; }
  std::int64_t depth() const { return along_depth ? matrix.columns : matrix.rows; }
};

// Where a b + bias + more_bias goes (both [columns], null: none): y, or sums in f32 where y is
// null. Row r is written to row r / steps record_rows + first + r % steps stride.
template <class T>
struct TensorRows {
  const T* bias = nullptr;
  const T* more_bias = nullptr;
  T* y = nullptr;
  float* sums = nullptr;
  std::int64_t steps = 1;
  std::int64_t record_rows = 1;
  std::int64_t first = 0;
  std::int64_t stride = 1;

  constexpr bool contiguous() const { return steps == record_rows && stride == 1; }
};

// ReLU of a b + bias, the greatest of each `pool` neighbouring rows, and which it was
// (Backend::conv1d_relu_maxpool_forward).
template <class T>
struct TensorPool {
  const T* bias = nullptr;
  T* y = nullptr;
  std::uint8_t* winner = nullptr;
  int pool = 1;
};

// Windows that fit a tile.
inline constexpr std::int64_t tensor_pool_most = 64;

// Either a is along the depth, or neither is. Rows and columns of the result are positive. Throws
// ShapeError where a record or a side is beyond 2^30 elements.
template <class T>
void tensor_product(const Device& device, BlockCache& blocks,
                    const std::type_identity_t<TensorFactor<T>>& a,
                    const std::type_identity_t<TensorFactor<T>>& b, const TensorRows<T>& to);

// a along the depth, b not; the rows of a are whole windows of at most tensor_pool_most.
template <class T>
void tensor_product(const Device& device, const std::type_identity_t<TensorFactor<T>>& a,
                    const std::type_identity_t<TensorFactor<T>>& b, const TensorPool<T>& to);

}  // namespace cardiograd::cuda
