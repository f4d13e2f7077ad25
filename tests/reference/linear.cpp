// y = x W^T + b over the last axis.
#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

struct LinearShape {
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
};

LinearShape check_linear(const Dims& x, const Dims& weight, const Dims& y) {
  CG_CHECK(weight.rank() == 2, "a linear weight is [O, I], got " + weight.to_string());
  const auto [rows, inputs] = reference::rows_of(x);
  const auto [y_rows, outputs] = reference::rows_of(y);
  CG_CHECK(x.rank() == y.rank() && rows == y_rows && inputs == weight[1] && outputs == weight[0],
           "linear: x " + x.to_string() + ", weight " + weight.to_string() + " and y " +
               y.to_string() + " do not fit");
  return {rows, inputs, outputs};
}

}  // namespace

void ReferenceBackend::linear_forward(ConstView x, ConstView weight, ConstView bias, View y) {
  const LinearShape shape = check_linear(x.dims, weight.dims, y.dims);
  if (bias.present()) reference::check_channels(bias.dims, shape.outputs);
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    for (std::int64_t o = 0; o < shape.outputs; ++o) {
      double total = bias.present() ? bias.as<double>()[o] : 0.0;
      for (std::int64_t i = 0; i < shape.inputs; ++i) {
        total += x.as<double>()[row * shape.inputs + i] * weight.as<double>()[o * shape.inputs + i];
      }
      y.as<double>()[row * shape.outputs + o] = total;
    }
  }
}

void ReferenceBackend::linear_backward_data(ConstView dy, ConstView weight, View dx) {
  const LinearShape shape = check_linear(dx.dims, weight.dims, dy.dims);
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    for (std::int64_t i = 0; i < shape.inputs; ++i) {
      double total = 0.0;
      for (std::int64_t o = 0; o < shape.outputs; ++o) {
        total +=
            dy.as<double>()[row * shape.outputs + o] * weight.as<double>()[o * shape.inputs + i];
      }
      dx.as<double>()[row * shape.inputs + i] = total;
    }
  }
}

void ReferenceBackend::linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) {
  const LinearShape shape = check_linear(x.dims, dweight.dims, dy.dims);
  if (dbias.present()) reference::check_channels(dbias.dims, shape.outputs);
  for (std::int64_t o = 0; o < shape.outputs; ++o) {
    for (std::int64_t i = 0; i < shape.inputs; ++i) {
      double total = 0.0;
      for (std::int64_t row = 0; row < shape.rows; ++row) {
        total += dy.as<double>()[row * shape.outputs + o] * x.as<double>()[row * shape.inputs + i];
      }
      dweight.as<double>()[o * shape.inputs + i] = total;
    }
    if (!dbias.present()) continue;
    double total = 0.0;
    for (std::int64_t row = 0; row < shape.rows; ++row) {
      total += dy.as<double>()[row * shape.outputs + o];
    }
    dbias.as<double>()[o] = total;
  }
}

}  // namespace cardiograd
