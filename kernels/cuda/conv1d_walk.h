// What the convolution kernels share: how the steps of the output walk over those of the input, and
// where the input's elements come from.
#pragma once

#include <numeric>

#include "kernels/cpu/conv1d_shape.h"
#include "kernels/cuda/four.h"

namespace cardiograd::cuda {

CG_HOST_DEVICE std::int64_t least_of(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// How a launch walks: step q of the output is written to out_first + q out_stride, and reads
// through tap j of `taps` input step q in_stride + in_base + j in_step, with the weight's tap
// tap_first + j tap_step.
struct Walk {
  std::int64_t steps = 0;
  std::int64_t taps = 0;
  std::int64_t in_stride = 1;
  std::int64_t in_base = 0;
  std::int64_t in_step = 1;
  std::int64_t tap_first = 0;
  std::int64_t tap_step = 1;
  std::int64_t out_first = 0;
  std::int64_t out_stride = 1;
};

// The first `steps` steps of a convolution.
inline Walk forward_walk(const Conv1dShape& shape, std::int64_t steps) {
  Walk walk;
  walk.steps = steps;
  walk.taps = shape.kernel;
  walk.in_stride = shape.spec.stride;
  walk.in_base = -shape.spec.padding;
  walk.in_step = shape.spec.dilation;
  return walk;
}

// The gradient to x of a strided convolution is `stride` convolutions of stride 1, one for each
// phase l % stride of x's steps. Of the taps, those take part for which l + padding - tap dilation
// is a multiple of the stride, which every (stride / gcd)-th is. They run backwards, so that the
// steps of dy run forwards.
inline Walk gradient_walk(const Conv1dShape& shape, std::int64_t phase) {
  const std::int64_t stride = shape.spec.stride;
  const std::int64_t dilation = shape.spec.dilation;
  const std::int64_t divisor = std::gcd(dilation, stride);
  const std::int64_t every = stride / divisor;
  std::int64_t first = 0;
  while (first < every && (phase + shape.spec.padding - first * dilation) % stride != 0) ++first;
  Walk walk;
  walk.steps = shape.length > phase ? (shape.length - phase + stride - 1) / stride : 0;
  walk.out_first = phase;
  walk.out_stride = stride;
  if (first == every || first >= shape.kernel) return walk;  // no tap reaches this phase
  walk.taps = (shape.kernel - first + every - 1) / every;
  walk.in_step = dilation / divisor;
  walk.in_base =
      (phase + shape.spec.padding - first * dilation) / stride - (walk.taps - 1) * walk.in_step;
  walk.tap_first = first + (walk.taps - 1) * every;
  walk.tap_step = -every;
  return walk;
}

// A convolution (backward: its gradient to x) as the kernels see it.
template <bool backward>
struct Convolution {
  Conv1dShape shape;
  Walk walk;

  constexpr std::int64_t in_length() const { return backward ? shape.output_length : shape.length; }
  constexpr std::int64_t in_channels() const { return backward ? shape.outputs : shape.inputs; }
  constexpr std::int64_t out_length() const {
    return backward ? shape.length : shape.output_length;
  }
  constexpr std::int64_t out_channels() const { return backward ? shape.inputs : shape.outputs; }
};

// Calls f with the convolution of each phase of x's gradient.
template <class F>
void for_each_phase(const Conv1dShape& shape, F&& f) {
  const std::int64_t phases = std::min(shape.spec.stride, shape.length);
  for (std::int64_t phase = 0; phase < phases; ++phase) {
    f(Convolution<true>{shape, gradient_walk(shape, phase)});
  }
}

// [records, length, channels] in memory.
template <class T>
struct Rows {
  const T* data = nullptr;
  std::int64_t length = 0;
  std::int64_t channels = 0;
  bool packed = false;

  Rows(const T* data_, std::int64_t length_, std::int64_t channels_)
      : data(data_), length(length_), channels(channels_), packed(fours_fit(data_, channels_)) {}

  // Four channels of a step that exists.
  CG_DEVICE Pack<float, 4> four(std::int64_t record, std::int64_t step,
                                std::int64_t channel) const {
    return load_four(data + (record * length + step) * channels + channel, channels - channel,
                     packed);
  }
};

}  // namespace cardiograd::cuda
