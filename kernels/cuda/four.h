// Four neighbouring elements as floats: what the tiled kernels bring to shared memory at a time.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"

namespace cardiograd::cuda {

// Whether rows of `neighbours` elements can be read and written four at a time in one access.
template <class T>
bool fours_fit(const T* p, std::int64_t neighbours) {
  return neighbours % 4 == 0 && is_aligned(p, 4 * sizeof(T));
}

// The first `valid` of them exist, the others are 0. packed: fours_fit, and p at a multiple of
// four.
template <class T>
CG_DEVICE Pack<float, 4> load_four(const T* p, std::int64_t valid, bool packed) {
  Pack<float, 4> four{};
  if (valid <= 0) return four;
  if (packed) {
    const Pack<T, 4> stored = load_pack<4>(p);
    CG_UNROLL
    for (int j = 0; j < 4; ++j) four[j] = to_float(stored[j]);
    return four;
  }
  CG_UNROLL
  for (int j = 0; j < 4; ++j) {
    if (j < valid) four[j] = to_float(p[j]);
  }
  return four;
}

// The reverse: the first `valid` of them are written.
template <class T>
CG_DEVICE void store_four(T* p, const Pack<float, 4>& four, std::int64_t valid, bool packed) {
  if (valid <= 0) return;
  Pack<T, 4> stored;
  CG_UNROLL
  for (int j = 0; j < 4; ++j) stored[j] = from_float<T>(four[j]);
  if (packed) {
    store_pack(p, stored);
    return;
  }
  CG_UNROLL
  for (int j = 0; j < 4; ++j) {
    if (j < valid) p[j] = stored[j];
  }
}

}  // namespace cardiograd::cuda
