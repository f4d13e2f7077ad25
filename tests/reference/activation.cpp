// Activations and softmax.
#include <cmath>
#include <numbers>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

using reference::check_same_shape;
using reference::Rows;
using reference::rows_of;

// Hendrycks & Gimpel 2016: gelu(x) ~ x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
const double gelu_scale = std::sqrt(2.0 / std::numbers::pi);
constexpr double gelu_cubic = 0.044715;

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

double normal_density(double x) {
  return std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double value_at(const Activation& activation, double x) {
  switch (activation.kind) {
    case ActivationKind::relu:
      return x <= 0.0 ? 0.0 : x;  // a NaN stays one
    case ActivationKind::leaky_relu:
      return x > 0.0 ? x : activation.slope * x;
    case ActivationKind::sigmoid:
      return sigmoid(x);
    case ActivationKind::tanh:
      return std::tanh(x);
    case ActivationKind::gelu:
      return x * normal_cdf(x);
    case ActivationKind::gelu_tanh:
      break;
  }
  return 0.5 * x * (1.0 + std::tanh(gelu_scale * (x + gelu_cubic * x * x * x)));
}

double derivative_at(const Activation& activation, double x) {
  switch (activation.kind) {
    case ActivationKind::relu:
      return x <= 0.0 ? 0.0 : 1.0;
    case ActivationKind::leaky_relu:
      return x > 0.0 ? 1.0 : activation.slope;
    case ActivationKind::sigmoid:
      return sigmoid(x) * sigmoid(-x);
    case ActivationKind::tanh:
      return 1.0 - std::tanh(x) * std::tanh(x);
    case ActivationKind::gelu:
      return normal_cdf(x) + x * normal_density(x);
    case ActivationKind::gelu_tanh:
      break;
  }
  const double t = std::tanh(gelu_scale * (x + gelu_cubic * x * x * x));
  return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * gelu_scale * (1.0 + 3.0 * gelu_cubic * x * x);
}

}  // namespace

void ReferenceBackend::activation_forward(const Activation& activation, ConstView x, View y) {
  check_same_shape(x.dims, y.dims);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    y.as<double>()[i] = value_at(activation, x.as<double>()[i]);
  }
}

void ReferenceBackend::activation_backward(const Activation& activation, ConstView x, ConstView y,
                                           ConstView dy, View dx) {
  check_same_shape(x.dims, dx.dims);
  check_same_shape(y.dims, dx.dims);
  check_same_shape(dy.dims, dx.dims);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    dx.as<double>()[i] = dy.as<double>()[i] * derivative_at(activation, x.as<double>()[i]);
  }
}

void ReferenceBackend::softmax_forward(ConstView x, View y) {
  check_same_shape(x.dims, y.dims);
  const Rows shape = rows_of(x.dims);
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    const double* from = x.as<double>() + row * shape.channels;
    double* to = y.as<double>() + row * shape.channels;
    double maximum = -INFINITY;
    for (std::int64_t c = 0; c < shape.channels; ++c) maximum = std::fmax(maximum, from[c]);
    double total = 0.0;
    for (std::int64_t c = 0; c < shape.channels; ++c) total += std::exp(from[c] - maximum);
    for (std::int64_t c = 0; c < shape.channels; ++c) to[c] = std::exp(from[c] - maximum) / total;
  }
}

void ReferenceBackend::softmax_backward(ConstView y, ConstView dy, View dx) {
  check_same_shape(y.dims, dx.dims);
  check_same_shape(dy.dims, dx.dims);
  const Rows shape = rows_of(y.dims);
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    const double* value = y.as<double>() + row * shape.channels;
    const double* gradient = dy.as<double>() + row * shape.channels;
    double* to = dx.as<double>() + row * shape.channels;
    double dot = 0.0;
    for (std::int64_t c = 0; c < shape.channels; ++c) dot += value[c] * gradient[c];
    for (std::int64_t c = 0; c < shape.channels; ++c) to[c] = value[c] * (gradient[c] - dot);
  }
}

}  // namespace cardiograd
