// y = x W^T + b over the last axis, by oneDNN's matrix product: of what oneDNN offers it is the
// fastest here, and takes every operand as it lies.
#include <algorithm>

#include "kernels/cpu/block_cache.h"
#include "kernels/cpu/checks.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/simd.h"
#include "kernels/linear_shape.h"

namespace cardiograd {

namespace {

// sums[c] = sum of x[row, c] over rows, in chunks of rows that do not depend on the thread count.
void sum_rows(BlockCache& blocks, const float* x, std::int64_t rows, std::int64_t columns,
              float* sums) {
  const std::int64_t chunks = std::clamp<std::int64_t>(rows / 64, 1, 64);
  const Scratch<float> partial(blocks, chunks * columns);
  std::fill_n(partial.data(), chunks * columns, 0.0F);
  const SimdKernels& simd = simd_kernels();
#pragma omp parallel for schedule(static) if (rows * columns > 32768)
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
    const std::int64_t begin = chunk * rows / chunks;
    const std::int64_t end = (chunk + 1) * rows / chunks;
    simd.sum_rows(x + begin * columns, end - begin, columns, partial.data() + chunk * columns);
  }
  std::fill_n(sums, columns, 0.0F);
  simd.sum_rows(partial.data(), chunks, columns, sums);
}

// y = x W^T + b by way of y^T = W x^T: oneDNN turns its second factor over before it multiplies,
// and here that is the smaller one.
void multiply_turned(BlockCache& blocks, const LinearShape& shape, const float* x,
                     const float* weight, const float* bias, float* y) {
  const std::int64_t rows = shape.rows;
  const std::int64_t outputs = shape.outputs;
  const Scratch<float> turned(blocks, outputs * rows);
  matrix_multiply(Order::plain, Order::transposed, outputs, rows, shape.inputs, weight, x, 0.0F,
                  turned.data());
  const float* sums = turned.data();
#pragma omp parallel for schedule(static) if (rows * outputs > 32768)
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t output = 0; output < outputs; ++output) {
      const float offset = bias == nullptr ? 0.0F : bias[output];
      y[row * outputs + output] = sums[output * rows + row] + offset;
    }
  }
}

}  // namespace

void CpuBackend::linear_forward(ConstView x, ConstView weight, ConstView bias, View y) {
  require_f32("linear", {x, weight, bias, y});
  const LinearShape shape = linear_shape(x.dims, weight.dims, y.dims);
  check_bias(shape, bias);
  if (y.numel() == 0) return;
  float* out = y.as<float>();
  if (shape.outputs > shape.rows && shape.inputs > 0) {
    multiply_turned(*blocks_, shape, x.as<float>(), weight.as<float>(),
                    bias.present() ? bias.as<float>() : nullptr, out);
    return;
  }
  for (std::int64_t row = 0; bias.present() && row < shape.rows; ++row) {
    std::copy_n(bias.as<float>(), shape.outputs, out + row * shape.outputs);
  }
  if (shape.inputs == 0) {
    if (!bias.present()) fill(y, 0.0);
    return;
  }
  matrix_multiply(Order::plain, Order::transposed, shape.rows, shape.outputs, shape.inputs,
                  x.as<float>(), weight.as<float>(), bias.present() ? 1.0F : 0.0F, out);
}

void CpuBackend::linear_backward_data(ConstView dy, ConstView weight, View dx) {
  require_f32("linear", {dy, weight, dx});
  const LinearShape shape = linear_shape(dx.dims, weight.dims, dy.dims);
  if (dx.numel() == 0) return;
  if (shape.outputs == 0) {
    fill(dx, 0.0);
    return;
  }
  matrix_multiply(Order::plain, Order::plain, shape.rows, shape.inputs, shape.outputs,
                  dy.as<float>(), weight.as<float>(), 0.0F, dx.as<float>());
}

void CpuBackend::linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) {
  require_f32("linear", {x, dy, dweight, dbias});
  const LinearShape shape = linear_shape(x.dims, dweight.dims, dy.dims);
  check_bias(shape, dbias);
  if (shape.rows == 0) {
    fill(dweight, 0.0);
    if (dbias.present()) fill(dbias, 0.0);
    return;
  }
  if (dbias.present() && shape.outputs > 0) {
    sum_rows(*blocks_, dy.as<float>(), shape.rows, shape.outputs, dbias.as<float>());
  }
  if (dweight.numel() == 0) return;
  matrix_multiply(Order::transposed, Order::plain, shape.outputs, shape.inputs, shape.rows,
                  dy.as<float>(), x.as<float>(), 0.0F, dweight.as<float>());
}

}  // namespace cardiograd
