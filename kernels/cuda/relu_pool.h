// ReLU and max-pooling of one window, in f32: the fused convolution's.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/launch.h"

namespace cardiograd::cuda {

// The greatest of `count` values that lie `stride` apart, plus bias; 0 where it is not positive; a
// NaN wins. winner is its position, or Backend::conv_relu_pool_dead.
CG_DEVICE float relu_pool(const float* values, std::int64_t stride, int count, float bias,
                          std::uint8_t& winner) {
  float best = values[0];
  winner = 0;
  for (int j = 1; j < count; ++j) {
    const float value = values[j * stride];
    if (value > best || (value != value && best == best)) {
      best = value;
      winner = static_cast<std::uint8_t>(j);
    }
  }
  best += bias;
  if (best <= 0.0F) {
    best = 0.0F;
    winner = Backend::conv_relu_pool_dead;
  }
  return best;
}

}  // namespace cardiograd::cuda
