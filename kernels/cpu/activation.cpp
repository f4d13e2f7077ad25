// Activations and softmax.
#include <limits>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

namespace cardiograd {
namespace {

// Elements of a transcendental function that repay a thread's wake-up.
constexpr std::int64_t transcendental_grain = 4096;

// 2 u, where GELU's tanh form is x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
inline float twice_gelu_argument(float x) { return 1.59576912F * x * (1.0F + 0.044715F * x * x); }

// ---- Loops, one an activation: y = f(x), and dx = dy f'. dx may be dy's memory.

using ForwardLoop = void (*)(const float* x, float* y, std::int64_t count, float slope);
// `saved` is the operand that the derivative is written in: x or y.
using BackwardLoop = void (*)(const float* saved, const float* dy, float* dx, std::int64_t count,
                              float slope);

CARDIOGRAD_CLONES
void relu_forward(const float* x, float* y, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] <= 0.0F ? 0.0F : x[i];
}

CARDIOGRAD_CLONES
void relu_backward(const float* saved, const float* dy, float* dx, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) dx[i] = saved[i] <= 0.0F ? 0.0F : dy[i];
}

CARDIOGRAD_CLONES
void leaky_relu_forward(const float* x, float* y, std::int64_t count, float slope) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] > 0.0F ? x[i] : slope * x[i];
}

CARDIOGRAD_CLONES
void leaky_relu_backward(const float* x, const float* dy, float* dx, std::int64_t count,
                         float slope) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) dx[i] = x[i] > 0.0F ? dy[i] : slope * dy[i];
}

CARDIOGRAD_CLONES
void sigmoid_forward(const float* x, float* y, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = vector_math::sigmoid(x[i]);
}

CARDIOGRAD_CLONES
void sigmoid_backward(const float* y, const float* dy, float* dx, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) dx[i] = dy[i] * ((1.0F - y[i]) * y[i]);
}

CARDIOGRAD_CLONES
void tanh_forward(const float* x, float* y, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = vector_math::tanh(x[i]);
}

CARDIOGRAD_CLONES
void tanh_backward(const float* y, const float* dy, float* dx, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) dx[i] = dy[i] * ((1.0F - y[i]) * (1.0F + y[i]));
}

CARDIOGRAD_CLONES
void gelu_forward(const float* x, float* y, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] * vector_math::normal(x[i]).cdf;
}

CARDIOGRAD_CLONES
void gelu_backward(const float* x, const float* dy, float* dx, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const vector_math::Normal normal = vector_math::normal(x[i]);
    dx[i] = dy[i] * (normal.cdf + x[i] * normal.density);
  }
}

CARDIOGRAD_CLONES
void gelu_tanh_forward(const float* x, float* y, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    y[i] = x[i] * vector_math::sigmoid(twice_gelu_argument(x[i]));
  }
}

CARDIOGRAD_CLONES
void gelu_tanh_backward(const float* x, const float* dy, float* dx, std::int64_t count, float) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float s = vector_math::sigmoid(twice_gelu_argument(x[i]));
    const float inner = 1.59576912F * (1.0F + 3.0F * 0.044715F * x[i] * x[i]);
    dx[i] = dy[i] * (s + x[i] * inner * (s * (1.0F - s)));
  }
}

struct Loops {
  ForwardLoop forward;
  BackwardLoop backward;
  bool saves_output;  // the derivative is written in y
  std::int64_t grain;
};

Loops loops_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::relu:
      return {relu_forward, relu_backward, true, parallel_grain};
    case ActivationKind::leaky_relu:
      return {leaky_relu_forward, leaky_relu_backward, false, parallel_grain};
    case ActivationKind::sigmoid:
      return {sigmoid_forward, sigmoid_backward, true, transcendental_grain};
    case ActivationKind::tanh:
      return {tanh_forward, tanh_backward, true, transcendental_grain};
    case ActivationKind::gelu:
      return {gelu_forward, gelu_backward, false, transcendental_grain};
    case ActivationKind::gelu_tanh:
      break;
  }
  return {gelu_tanh_forward, gelu_tanh_backward, false, transcendental_grain};
}

// ---- Softmax, one row at a time.

CARDIOGRAD_CLONES
void softmax_row(const float* __restrict x, float* __restrict y, std::int64_t width) {
  float highest = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : highest)
  for (std::int64_t i = 0; i < width; ++i) highest = x[i] > highest ? x[i] : highest;
  float total = 0.0F;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < width; ++i) {
    y[i] = vector_math::exp(x[i] - highest);
    total += y[i];
  }
  const float inverse = 1.0F / total;
  for (std::int64_t i = 0; i < width; ++i) y[i] *= inverse;
}

CARDIOGRAD_CLONES
void softmax_row_backward(const float* __restrict y, const float* __restrict dy,
                          float* __restrict dx, std::int64_t width) {
  float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
  for (std::int64_t i = 0; i < width; ++i) dot += y[i] * dy[i];
  for (std::int64_t i = 0; i < width; ++i) dx[i] = y[i] * (dy[i] - dot);
}

// Rows and their width, when the last axis is the width.
struct RowShape {
  std::int64_t rows = 1;
  std::int64_t width = 1;
};

RowShape last_axis_rows(std::string_view operation, const Dims& dims) {
  CG_CHECK(dims.rank() >= 1, std::string(operation) + " needs at least one axis, got a scalar");
  const std::int64_t width = dims[-1];
  return {width == 0 ? 0 : dims.numel() / width, width};
}

}  // namespace

void CpuBackend::activation_forward(const Activation& activation, ConstView x, View y) {
  require_f32("activation", {x, y});
  require_same_shape("activation", x.dims, y.dims);
  const Loops loops = loops_of(activation.kind);
  const float* in = floats(x);
  float* out = floats(y);
  const auto slope = static_cast<float>(activation.slope);
  parallel_for(x.numel(), loops.grain, [=](std::int64_t begin, std::int64_t end) {
    loops.forward(in + begin, out + begin, end - begin, slope);
  });
}

void CpuBackend::activation_backward(const Activation& activation, ConstView x, ConstView y,
                                     ConstView dy, View dx) {
  const Loops loops = loops_of(activation.kind);
  const ConstView saved = loops.saves_output ? y : x;
  require_f32("activation", {saved, dy, dx});
  require_same_shape("activation", saved.dims, dx.dims);
  require_same_shape("activation", dy.dims, dx.dims);
  const float* from = floats(saved);
  const float* gradient = floats(dy);
  float* out = floats(dx);
  const auto slope = static_cast<float>(activation.slope);
  parallel_for(dx.numel(), loops.grain, [=](std::int64_t begin, std::int64_t end) {
    loops.backward(from + begin, gradient + begin, out + begin, end - begin, slope);
  });
}

void CpuBackend::softmax_forward(ConstView x, View y) {
  require_f32("softmax", {x, y});
  require_same_shape("softmax", x.dims, y.dims);
  const RowShape shape = last_axis_rows("softmax", x.dims);
  const float* in = floats(x);
  float* out = floats(y);
  parallel_rows(shape.rows, shape.width * 4, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      softmax_row(in + row * shape.width, out + row * shape.width, shape.width);
    }
  });
}

void CpuBackend::softmax_backward(ConstView y, ConstView dy, View dx) {
  require_f32("softmax", {y, dy, dx});
  require_same_shape("softmax", y.dims, dx.dims);
  require_same_shape("softmax", dy.dims, dx.dims);
  const RowShape shape = last_axis_rows("softmax", y.dims);
  const float* probabilities = floats(y);
  const float* gradient = floats(dy);
  float* out = floats(dx);
  parallel_rows(shape.rows, shape.width * 2, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t at = row * shape.width;
      softmax_row_backward(probabilities + at, gradient + at, out + at, shape.width);
    }
  });
}

}  // namespace cardiograd
