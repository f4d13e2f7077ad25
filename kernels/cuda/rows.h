// What operations on rows of the last axis share: a warp takes a row, in accesses of 16 bytes where
// the rows lie on them.
#pragma once

#include <initializer_list>
#include <type_traits>

#include "kernels/cuda/device.h"
#include "kernels/cuda/grid.h"

namespace cardiograd::cuda {

// rows of `width` elements, one after the other.
struct Rows {
  std::int64_t count = 0;
  std::int64_t width = 0;
};

inline Rows last_axis_rows(std::string_view operation, const Dims& dims) {
  CG_CHECK(dims.rank() >= 1, std::string(operation) + " needs a last axis, got a scalar");
  Rows rows{1, dims[-1]};
  for (int axis = 0; axis + 1 < dims.rank(); ++axis) rows.count *= dims[axis];
  return rows;
}

// f(n): n is a constant, 16 bytes of T where every row of every operand begins on 16 bytes, or 1.
template <class T, class F>
void dispatch_pack(std::int64_t width, std::initializer_list<const void*> operands, F&& f) {
  bool packed = width % pack_size<T> == 0;
  for (const void* operand : operands) packed = packed && is_aligned(operand, 16);
  if (packed) {
    f(std::integral_constant<int, pack_size<T>>{});
  } else {
    f(std::integral_constant<int, 1>{});
  }
}

// for (row = first_row(); row < count; row += row_step()): a warp a row, all its lanes together.
CG_DEVICE std::int64_t first_row() {
  return (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
}
CG_DEVICE std::int64_t row_step() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x / 32; }

}  // namespace cardiograd::cuda
