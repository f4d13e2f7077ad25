// Shape arithmetic that the reference operations share.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/view.h"

namespace cardiograd::reference {

// A channel-last operand [..., C] read as rows x C.
struct Rows {
  std::int64_t rows = 0;
  std::int64_t channels = 0;
};

inline Rows rows_of(const Dims& dims) {
  CG_CHECK(dims.rank() >= 1, "a channel-last operand needs at least one axis");
  Rows result{1, dims[-1]};
  for (int axis = 0; axis + 1 < dims.rank(); ++axis) result.rows *= dims[axis];
  return result;
}

// A sequence [N, L, C].
struct Sequence {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  std::int64_t channels = 0;

  // Offset of one element.
  std::int64_t at(std::int64_t n, std::int64_t l, std::int64_t c) const {
    return (n * length + l) * channels + c;
  }
};

inline Sequence sequence_of(const Dims& dims) {
  CG_CHECK(dims.rank() == 3, "a sequence is [N, L, C], got " + dims.to_string());
  return {dims[0], dims[1], dims[2]};
}

inline void check_same_shape(const Dims& a, const Dims& b) {
  CG_CHECK(a == b, "shapes " + a.to_string() + " and " + b.to_string() + " differ");
}

// One value a channel.
inline void check_channels(const Dims& dims, std::int64_t channels) {
  CG_CHECK(dims == Dims({channels}),
           "expected [" + std::to_string(channels) + "], got " + dims.to_string());
}

// Where the element of `small` lies that NumPy's broadcasting pairs with element `index` of `big`.
inline std::int64_t broadcast_offset(const Dims& small, const Dims& big, std::int64_t index) {
  std::int64_t offset = 0;
  std::int64_t stride = 1;
  for (int back = 1; back <= big.rank(); ++back) {
    const std::int64_t position = index % big[-back];
    index /= big[-back];
    if (back > small.rank()) continue;
    if (small[-back] != 1) offset += position * stride;
    stride *= small[-back];
  }
  return offset;
}

inline void check_broadcasts(const Dims& small, const Dims& big) {
  bool fits = small.rank() <= big.rank();
  for (int back = 1; fits && back <= small.rank(); ++back) {
    fits = small[-back] == 1 || small[-back] == big[-back];
  }
  CG_CHECK(fits, "shape " + small.to_string() + " does not broadcast to " + big.to_string());
}

}  // namespace cardiograd::reference
