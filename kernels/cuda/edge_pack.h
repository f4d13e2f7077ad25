// Packs at the edge of an array, or of one that does not lie on 16 bytes.
#pragma once

#include "kernels/cuda/launch.h"

namespace cardiograd::cuda {

// n neighbours from p on, of which `count` are there (the others are 0): one access where `packed`
// says that p is aligned for it.
template <int n, class T>
CG_DEVICE Pack<T, n> load_some(const T* p, std::int64_t count, bool packed) {
  if (packed && count >= n) return load_pack<n>(p);
  Pack<T, n> pack;
  CG_UNROLL
  for (int j = 0; j < n; ++j) pack[j] = j < count ? p[j] : from_float<T>(0.0F);
  return pack;
}

template <int n, class T>
CG_DEVICE void store_some(T* p, const Pack<T, n>& pack, std::int64_t count, bool packed) {
  if (packed && count >= n) {
    store_pack(p, pack);
    return;
  }
  CG_UNROLL
  for (int j = 0; j < n; ++j) {
    if (j < count) p[j] = pack[j];
  }
}

}  // namespace cardiograd::cuda
