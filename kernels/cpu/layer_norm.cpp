// LayerNorm over the last axis (Ba et al. 2016).
#include <cmath>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {
namespace {

// One row, in three short passes: mean, variance about it, result.
CARDIOGRAD_CLONES
void forward_row(const float* __restrict x, const float* __restrict gamma,
                 const float* __restrict beta, double eps, std::int64_t width, float* __restrict y,
                 float* mean, float* inv_std) {
  const auto count = static_cast<double>(width > 0 ? width : 1);
  double total = 0.0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t c = 0; c < width; ++c) total += static_cast<double>(x[c]);
  const double centre = total / count;
  double squares = 0.0;
#pragma omp simd reduction(+ : squares)
  for (std::int64_t c = 0; c < width; ++c) {
    const double d = static_cast<double>(x[c]) - centre;
    squares += d * d;
  }
  const auto m = static_cast<float>(centre);
  const auto inverse = static_cast<float>(1.0 / std::sqrt(squares / count + eps));
  *mean = m;
  *inv_std = inverse;
  for (std::int64_t c = 0; c < width; ++c) y[c] = ((x[c] - m) * inverse) * gamma[c] + beta[c];
}

// dx = inv_std (g - mean(g) - xhat mean(g xhat)), g = dy gamma; in double, because the terms cancel
// where columns are few.
CARDIOGRAD_CLONES
void backward_row(const float* __restrict x, const float* __restrict gamma, float mean,
                  float inv_std, const float* __restrict dy, std::int64_t width,
                  float* __restrict dx) {
  const auto centre = static_cast<double>(mean);
  const auto inverse = static_cast<double>(inv_std);
  double total = 0.0;
  double product = 0.0;
#pragma omp simd reduction(+ : total, product)
  for (std::int64_t c = 0; c < width; ++c) {
    const double g = static_cast<double>(dy[c]) * static_cast<double>(gamma[c]);
    total += g;
    product += g * (static_cast<double>(x[c]) - centre);
  }
  const double g_mean = total / static_cast<double>(width);
  const double slope = product * inverse * inverse / static_cast<double>(width);
  for (std::int64_t c = 0; c < width; ++c) {
    const double g = static_cast<double>(dy[c]) * static_cast<double>(gamma[c]);
    const double centred = static_cast<double>(x[c]) - centre;
    dx[c] = static_cast<float>(inverse * ((g - g_mean) - centred * slope));
  }
}

// Part of [rows, width], rows `pitch` apart.
struct Block {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::int64_t pitch = 0;
};

// sums[c] += sum of dy, sums[width + c] += sum of dy xhat; mean and inv_std one a row.
CARDIOGRAD_CLONES
void add_gradients(const Block& block, const float* __restrict x, const float* __restrict dy,
                   const float* __restrict mean, const float* __restrict inv_std,
                   double* __restrict sums) {
  double* __restrict products = sums + block.width;
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const float* g = dy + row * block.pitch;
    const float* r = x + row * block.pitch;
    const float m = mean[row];
    const float inverse = inv_std[row];
    for (std::int64_t c = 0; c < block.width; ++c) {
      sums[c] += static_cast<double>(g[c]);
      products[c] += static_cast<double>(g[c] * ((r[c] - m) * inverse));
    }
  }
}

struct Shape {
  std::int64_t rows = 0;
  std::int64_t width = 0;
};

Shape check(const ConstView& x, std::initializer_list<ConstView> same,
            std::initializer_list<ConstView> vectors, std::initializer_list<ConstView> statistics) {
  require_f32("layer_norm", {x});
  require_f32("layer_norm", same);
  require_f32("layer_norm", vectors);
  require_f32("layer_norm", statistics);
  CG_CHECK(x.dims.rank() >= 1, "layer_norm needs a last axis, got a scalar");
  Shape shape{1, x.dims[-1]};
  for (int axis = 0; axis + 1 < x.dims.rank(); ++axis) shape.rows *= x.dims[axis];
  for (const ConstView& view : same) require_same_shape("layer_norm", x.dims, view.dims);
  for (const ConstView& view : vectors) require_vector("layer_norm", view.dims, shape.width);
  for (const ConstView& view : statistics) {
    CG_CHECK(view.numel() == shape.rows,
             "layer_norm: " + std::to_string(shape.rows) + " rows of shape " + x.dims.to_string() +
                 " need one statistic each, got shape " + view.dims.to_string());
  }
  return shape;
}

}  // namespace

void CpuBackend::layer_norm_forward(ConstView x, ConstView gamma, ConstView beta, double eps,
                                    View y, View mean, View inv_std) {
  const Shape shape = check(x, {y}, {gamma, beta}, {mean, inv_std});
  parallel_rows(shape.rows, 2 * shape.width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t at = row * shape.width;
      forward_row(floats(x) + at, floats(gamma), floats(beta), eps, shape.width, floats(y) + at,
                  floats(mean) + row, floats(inv_std) + row);
    }
  });
}

void CpuBackend::layer_norm_backward(ConstView x, ConstView gamma, ConstView mean,
                                     ConstView inv_std, ConstView dy, View dx, View dgamma,
                                     View dbeta) {
  const Shape shape = check(x, {dy, dx}, {gamma, dgamma, dbeta}, {mean, inv_std});
  parallel_rows(shape.rows, 2 * shape.width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t at = row * shape.width;
      backward_row(floats(x) + at, floats(gamma), floats(mean)[row], floats(inv_std)[row],
                   floats(dy) + at, shape.width, floats(dx) + at);
    }
  });
  const Scratch<double> sums(*blocks_, 2 * shape.width);
  column_sums<2>(*blocks_, shape.rows, shape.width, sums.data(),
                 [&](std::int64_t row_begin, std::int64_t row_end, std::int64_t begin,
                     std::int64_t end, double* accumulators) {
                   const std::int64_t at = row_begin * shape.width + begin;
                   add_gradients({row_end - row_begin, end - begin, shape.width}, floats(x) + at,
                                 floats(dy) + at, floats(mean) + row_begin,
                                 floats(inv_std) + row_begin, accumulators);
                 });
  for (std::int64_t c = 0; c < shape.width; ++c) {
    floats(dbeta)[c] = static_cast<float>(sums[c]);
    floats(dgamma)[c] = static_cast<float>(sums[shape.width + c]);
  }
}

}  // namespace cardiograd
