// Convolution, bias, ReLU and max-pooling in one pass; where our own kernels do not apply, the same
// from its parts.
#include <algorithm>

#include "kernels/cpu/block_cache.h"
#include "kernels/cpu/checks.h"
#include "kernels/cpu/conv1d_direct.h"
#include "kernels/cpu/conv1d_shape.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/simd.h"

namespace cardiograd {

namespace {

std::int64_t full_count(const Conv1dShape& shape) {
  return shape.records * shape.output_length * shape.outputs;
}

// The gradient before pooling and ReLU: dy where an element won and lives, 0 elsewhere.
void unpool_gradient(const Conv1dShape& shape, std::int64_t pool, const std::uint8_t* winner,
                     const float* dy, float* full) {
  const std::int64_t pooled = shape.output_length / pool;
#pragma omp parallel for schedule(static)
  for (std::int64_t n = 0; n < shape.records; ++n) {
    float* out = full + n * shape.output_length * shape.outputs;
    std::fill_n(out, shape.output_length * shape.outputs, 0.0F);
    for (std::int64_t t = 0; t < pooled; ++t) {
      for (std::int64_t c = 0; c < shape.outputs; ++c) {
        const std::int64_t from = (n * pooled + t) * shape.outputs + c;
        if (winner[from] < pool) out[(t * pool + winner[from]) * shape.outputs + c] = dy[from];
      }
    }
  }
}

Dims full_dims(const Conv1dShape& shape) {
  return {shape.records, shape.output_length, shape.outputs};
}

}  // namespace

void CpuBackend::conv1d_relu_maxpool_forward(const Conv1dSpec& spec, std::int64_t pool, ConstView x,
                                             ConstView weight, ConstView bias, View y,
                                             View winner) {
  require_f32("conv1d_relu_maxpool", {x, weight, bias, y});
  const Conv1dShape shape = fused_shape(spec, pool, x.dims, weight.dims, y.dims, winner);
  check_bias(shape, bias);
  std::uint8_t* winners = winner.as<std::uint8_t>();
  if (y.numel() == 0) return;
  if (direct_relu_pool_forward_fits(shape)) {
    direct_relu_pool_forward(*blocks_, shape, pool, floats(x), floats(weight), floats(bias),
                             floats(y), winners);
    return;
  }
  const Scratch<float> full(*blocks_, full_count(shape));
  conv1d_forward(spec, x, weight, bias, {full.data(), DType::f32, full_dims(shape)});
  const SimdKernels& simd = simd_kernels();
  const std::int64_t pooled = shape.output_length / pool;
#pragma omp parallel for schedule(static)
  for (std::int64_t n = 0; n < shape.records; ++n) {
    const std::int64_t at = n * pooled * shape.outputs;
    simd.relu_pool(full.data() + n * shape.output_length * shape.outputs, shape.outputs, pooled,
                   pool, shape.outputs, conv_relu_pool_dead, floats(y) + at, winners + at);
  }
}

void CpuBackend::conv1d_relu_maxpool_backward(const Conv1dSpec& spec, std::int64_t pool,
                                              ConstView x, ConstView weight, ConstView winner,
                                              ConstView dy, View dx, View dweight, View dbias) {
  require_f32("conv1d_relu_maxpool", {x, weight, dy, dx, dweight, dbias});
  const Conv1dShape shape = fused_shape(spec, pool, x.dims, weight.dims, dy.dims, winner);
  check_bias(shape, dbias);
  check_fused_gradients(x.dims, weight.dims, dx, dweight);
  const std::uint8_t* winners = winner.as<std::uint8_t>();
  if (dy.numel() == 0) {
    if (dx.present()) fill(dx, 0.0);
    fill(dweight, 0.0);
    if (dbias.present()) fill(dbias, 0.0);
    return;
  }
  if (direct_relu_pool_backward_fits(shape)) {
    direct_relu_pool_backward(*blocks_, shape, pool, floats(x), floats(weight), winners, floats(dy),
                              floats(dx), floats(dweight), floats(dbias));
    return;
  }
  const Scratch<float> full(*blocks_, full_count(shape));
  const View dfull{full.data(), DType::f32, full_dims(shape)};
  unpool_gradient(shape, pool, winners, floats(dy), full.data());
  if (dx.present()) conv1d_backward_data(spec, dfull, weight, dx);
  conv1d_backward_weight(spec, x, dfull, dweight, dbias);
}

}  // namespace cardiograd
