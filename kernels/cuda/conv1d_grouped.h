// Convolution in groups, depthwise too, and its gradients: a thread four steps of one channel.
//
// Bytes: depthwise, x and y once each from memory, coalesced over the channels, x's steps under
// neighbouring steps of y from L1. FLOPs: 2 k Ci / groups an element. Bound: memory when depthwise.
#pragma once

#include "kernels/cuda/conv1d_walk.h"
#include "kernels/cuda/grid.h"

namespace cardiograd::cuda {

inline constexpr int grouped_steps = 4;

template <bool backward, class T, class Out>
CG_KERNEL(block_threads)
void grouped_conv_kernel(Convolution<backward> convolution, const T* __restrict__ x,
                         const T* __restrict__ weight, const T* __restrict__ bias,
                         Out* __restrict__ y) {
  const Conv1dShape& shape = convolution.shape;
  const Walk& walk = convolution.walk;
  const std::int64_t inputs = convolution.in_channels();
  const std::int64_t outputs = convolution.out_channels();
  const std::int64_t in_group = inputs / shape.spec.groups;
  const std::int64_t out_group = outputs / shape.spec.groups;
  const std::int64_t along = (walk.steps + grouped_steps - 1) / grouped_steps;
  const std::int64_t count = shape.records * along * outputs;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const std::int64_t channel = i % outputs;
    const std::int64_t q0 = i / outputs % along * grouped_steps;
    const std::int64_t record = i / outputs / along;
    const std::int64_t group = channel / out_group;
    float sums[grouped_steps] = {};
    for (std::int64_t j = 0; j < walk.taps; ++j) {
      const std::int64_t tap = walk.tap_first + j * walk.tap_step;
      for (std::int64_t c = 0; c < in_group; ++c) {
        // weight [k, Ci / groups, Co]: forward, y's channel comes last; backward, dy's does.
        const std::int64_t at =
            backward ? (tap * out_group + channel % out_group) * inputs + group * in_group + c
                     : (tap * in_group + c) * outputs + channel;
        const float factor = to_float(weight[at]);
        CG_UNROLL
        for (int k = 0; k < grouped_steps; ++k) {
          const std::int64_t step = (q0 + k) * walk.in_stride + walk.in_base + j * walk.in_step;
          if (step < 0 || step >= convolution.in_length()) continue;
          const std::int64_t row = record * convolution.in_length() + step;
          sums[k] = math::fma(to_float(x[row * inputs + group * in_group + c]), factor, sums[k]);
        }
      }
    }
    const float offset = bias != nullptr ? to_float(bias[channel]) : 0.0F;
    CG_UNROLL
    for (int k = 0; k < grouped_steps; ++k) {
      if (q0 + k >= walk.steps) continue;
      const std::int64_t row =
          record * convolution.out_length() + walk.out_first + (q0 + k) * walk.out_stride;
      y[row * outputs + channel] = from_float<Out>(sums[k] + offset);
    }
  }
}

template <bool backward, class T, class Out>
void convolve_groups(const Device& device, const Convolution<backward>& convolution, const T* x,
                     const T* weight, const T* bias, Out* y) {
  const std::int64_t along = (convolution.walk.steps + grouped_steps - 1) / grouped_steps;
  const std::int64_t items = convolution.shape.records * along * convolution.out_channels();
  launch<grouped_conv_kernel<backward, T, Out>>(device.blocks_for(items), block_threads, 0,
                                                device.stream, convolution, x, weight, bias, y);
}

}  // namespace cardiograd::cuda
