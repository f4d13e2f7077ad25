// The entry checks of conv1d and of its fusion.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cpu/conv1d_direct.h"
#include "kernels/view.h"

namespace cardiograd {

// Throws ShapeError unless x, weight and y fit the convolution.
inline Conv1dShape conv1d_shape(const Conv1dSpec& spec, const Dims& x, const Dims& weight,
                                const Dims& y) {
  CG_CHECK(spec.stride > 0 && spec.dilation > 0 && spec.groups > 0 && spec.padding >= 0,
           "a convolution's stride, dilation and groups are positive, its padding not negative");
  CG_CHECK(x.rank() == 3 && weight.rank() == 3 && y.rank() == 3 && weight[0] > 0,
           "conv1d wants x [N, L, Ci], weight [k, Ci / groups, Co] and y [N, Lo, Co], got " +
               x.to_string() + ", " + weight.to_string() + " and " + y.to_string());
  const Conv1dShape shape{x[0], x[1], x[2], weight[0], weight[2], y[1], spec};
  CG_CHECK(weight[1] * spec.groups == x[2] && weight[2] % spec.groups == 0 && y[0] == x[0] &&
               y[1] == spec.output_length(x[1], weight[0]) && y[2] == weight[2],
           "conv1d: x " + x.to_string() + ", weight " + weight.to_string() + " and y " +
               y.to_string() + " do not fit");
  return shape;
}

inline void check_bias(const Conv1dShape& shape, const ConstView& bias) {
  CG_CHECK(
      !bias.present() || bias.dims == Dims({shape.outputs}),
      "conv1d: a bias is [" + std::to_string(shape.outputs) + "], got " + bias.dims.to_string());
}

}  // namespace cardiograd
