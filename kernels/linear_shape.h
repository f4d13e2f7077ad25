// The entry checks of linear, on every device.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/view.h"

namespace cardiograd {

struct LinearShape {
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
};

// Throws ShapeError unless x [..., I], weight [O, I] and y [..., O] fit.
inline LinearShape linear_shape(const Dims& x, const Dims& weight, const Dims& y) {
  CG_CHECK(weight.rank() == 2, "a linear weight is [O, I], got " + weight.to_string());
  bool fits = x.rank() >= 1 && x.rank() == y.rank() && x[-1] == weight[1] && y[-1] == weight[0];
  LinearShape shape{1, weight[1], weight[0]};
  for (int axis = 0; fits && axis + 1 < x.rank(); ++axis) {
    fits = x[axis] == y[axis];
    shape.rows *= x[axis];
  }
  CG_CHECK(fits, "linear: x " + x.to_string() + ", weight " + weight.to_string() + " and y " +
                     y.to_string() + " do not fit");
  return shape;
}

inline void check_bias(const LinearShape& shape, const ConstView& bias) {
  CG_CHECK(
      !bias.present() || bias.dims == Dims({shape.outputs}),
      "linear: a bias is [" + std::to_string(shape.outputs) + "], got " + bias.dims.to_string());
}

}  // namespace cardiograd
