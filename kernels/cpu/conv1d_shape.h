// The entry checks of conv1d and of its fusion, on every device.
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

// Throws ShapeError unless y (or dy) and winner are the pooled convolution's.
inline Conv1dShape fused_shape(const Conv1dSpec& spec, std::int64_t pool, const Dims& x,
                               const Dims& weight, const Dims& pooled, const ConstView& winner) {
  CG_CHECK(pool >= 1 && pool <= Backend::conv_relu_pool_dead,
           "the fused pooling window lies in 1 .. 255, got " + std::to_string(pool));
  CG_CHECK(x.rank() == 3 && weight.rank() == 3,
           "conv1d_relu_maxpool wants x [N, L, Ci] and weight [k, Ci / groups, Co], got " +
               x.to_string() + " and " + weight.to_string());
  const Dims full{x[0], spec.output_length(x[1], weight[0]), weight[2]};
  const Conv1dShape shape = conv1d_shape(spec, x, weight, full);
  CG_CHECK(pooled == Dims({full[0], full[1] / pool, full[2]}) && winner.dims == pooled,
           "conv1d_relu_maxpool: y " + pooled.to_string() + " and winner " +
               winner.dims.to_string() + " do not fit the convolution's " + full.to_string());
  return shape;
}

// dx is optional.
inline void check_fused_gradients(const Dims& x, const Dims& weight, const ConstView& dx,
                                  const ConstView& dweight) {
  CG_CHECK(dweight.dims == weight && (!dx.present() || dx.dims == x),
           "conv1d_relu_maxpool: gradients " + dx.dims.to_string() + " and " +
               dweight.dims.to_string() + " do not fit x " + x.to_string() + " and weight " +
               weight.to_string());
}

}  // namespace cardiograd
