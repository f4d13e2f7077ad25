// Loops and reductions that kernels share.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.h"

namespace cardiograd::cuda {

// for (std::int64_t i = first_item(); i < count; i += item_step()): every item once, over the whole
// grid, neighbouring threads on neighbouring items.
CG_DEVICE std::int64_t first_item() {
  return static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
CG_DEVICE std::int64_t item_step() { return static_cast<std::int64_t>(gridDim.x) * blockDim.x; }

struct Sum {
  template <class T>
  CG_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};

// The reduction of all 32 lanes' values, in each lane; the same bits in every run.
template <class T, class Combine>
CG_DEVICE T warp_reduce(T value, Combine combine) {
  CG_UNROLL
  for (int distance = 16; distance > 0; distance /= 2) {
    value = combine(value, shuffle_xor(value, distance));
  }
  return value;
}
template <class T>
CG_DEVICE T warp_sum(T value) {
  return warp_reduce(value, Sum{});
}

// The sum over a block of `threads` threads (a multiple of 32, in x), in each thread. Every thread
// of the block must call it.
template <int threads, class T>
CG_DEVICE T block_sum(T value) {
  static_assert(threads % 32 == 0 && threads <= 1024);
  constexpr int warps = threads / 32;
  CG_SHARED(T[warps], partial);
  value = warp_sum(value);
  if (lane_of() == 0) partial[threadIdx.x / 32] = value;
  sync_block();
  T total = partial[0];
  CG_UNROLL
  for (int warp = 1; warp < warps; ++warp) total += partial[warp];
  sync_block();  // the next call writes partial again
  return total;
}

}  // namespace cardiograd::cuda
