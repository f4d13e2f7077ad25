// Maximum, average and adaptive average over time. Every loop runs over records in parallel and
// over channels innermost; a gradient is gathered into its own record, so nothing is shared.
#include <algorithm>
#include <limits>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {

namespace {

struct PoolShape {
  std::int64_t records = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t channels = 0;
};

PoolShape pool_shape(const Dims& x, const Dims& y) {
  CG_CHECK(x.rank() == 3 && y.rank() == 3 && x[0] == y[0] && x[2] == y[2],
           "pooling takes [N, L, C] to [N, Lo, C], got " + x.to_string() + " and " + y.to_string());
  return {x[0], x[1], y[1], x[2]};
}

PoolShape pool_shape(const Pool1dSpec& spec, const Dims& x, const Dims& y) {
  CG_CHECK(
      spec.kernel > 0 && spec.stride > 0 && spec.padding >= 0 && 2 * spec.padding <= spec.kernel,
      "a pooling kernel and stride are positive, its padding is at most half the kernel");
  const PoolShape shape = pool_shape(x, y);
  CG_CHECK(shape.outputs == spec.output_length(shape.inputs),
           "the pooled length of " + std::to_string(shape.inputs) + " is " +
               std::to_string(spec.output_length(shape.inputs)) + ", got " +
               std::to_string(shape.outputs));
  return shape;
}

void check_index(const ConstView& index, const Dims& y) {
  CG_CHECK(index.dims == y, "the index of a maximum has the shape " + y.to_string() + ", got " +
                                index.dims.to_string());
}

// Input steps begin .. end - 1, inside the record, and what their sum is multiplied by.
struct Window {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  float weight = 0.0F;
};

Window window_of(const Pool1dSpec& spec, const PoolShape& shape, std::int64_t t) {
  const std::int64_t begin = t * spec.stride - spec.padding;
  return {std::clamp<std::int64_t>(begin, 0, shape.inputs),
          std::clamp<std::int64_t>(begin + spec.kernel, 0, shape.inputs),
          1.0F / static_cast<float>(spec.kernel)};
}

Window adaptive_window_of(const PoolShape& shape, std::int64_t t) {
  const std::int64_t begin = t * shape.inputs / shape.outputs;
  const std::int64_t end = ((t + 1) * shape.inputs + shape.outputs - 1) / shape.outputs;
  return {begin, end, end > begin ? 1.0F / static_cast<float>(end - begin) : 0.0F};
}

// The first maximum, or the first NaN, of steps begin .. end - 1.
CARDIOGRAD_CLONES
void maximum_of(const float* x, const Window& window, std::int64_t channels, float* y,
                std::int32_t* index) {
  std::fill_n(y, channels, -std::numeric_limits<float>::infinity());
  std::fill_n(index, channels, static_cast<std::int32_t>(window.begin));
  for (std::int64_t t = window.begin; t < window.end; ++t) {
    const float* row = x + t * channels;
    const auto step = static_cast<std::int32_t>(t);
    for (std::int64_t c = 0; c < channels; ++c) {
      const float value = row[c];
      const bool wins = (value > y[c]) | ((value != value) & (y[c] == y[c]));
      y[c] = wins ? value : y[c];
      index[c] = wins ? step : index[c];
    }
  }
}

CARDIOGRAD_CLONES
void mean_of(const float* x, const Window& window, std::int64_t channels, float* y) {
  std::fill_n(y, channels, 0.0F);
  for (std::int64_t t = window.begin; t < window.end; ++t) {
    const float* row = x + t * channels;
    for (std::int64_t c = 0; c < channels; ++c) y[c] += row[c];
  }
  for (std::int64_t c = 0; c < channels; ++c) y[c] *= window.weight;
}

CARDIOGRAD_CLONES
void spread(const float* dy, const Window& window, std::int64_t channels, float* dx) {
  for (std::int64_t t = window.begin; t < window.end; ++t) {
    float* row = dx + t * channels;
    for (std::int64_t c = 0; c < channels; ++c) row[c] += window.weight * dy[c];
  }
}

template <class WindowOf>
void average_forward(const PoolShape& shape, const float* x, float* y, const WindowOf& window) {
  const std::int64_t c = shape.channels;
  parallel_rows(shape.records * shape.outputs, c, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t record = row / shape.outputs;
      mean_of(x + record * shape.inputs * c, window(row % shape.outputs), c, y + row * c);
    }
  });
}

template <class WindowOf>
void average_backward(const PoolShape& shape, const float* dy, float* dx, const WindowOf& window) {
  const std::int64_t c = shape.channels;
  parallel_rows(shape.records, shape.inputs * c, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t record = begin; record < end; ++record) {
      float* out = dx + record * shape.inputs * c;
      std::fill_n(out, shape.inputs * c, 0.0F);
      for (std::int64_t t = 0; t < shape.outputs; ++t) {
        spread(dy + (record * shape.outputs + t) * c, window(t), c, out);
      }
    }
  });
}

}  // namespace

void CpuBackend::max_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y, View index) {
  require_f32("max_pool1d", {x, y});
  const PoolShape shape = pool_shape(spec, x.dims, y.dims);
  check_index(index, y.dims);
  if (y.numel() == 0) return;
  const std::int64_t c = shape.channels;
  const float* from = x.as<float>();
  float* to = y.as<float>();
  std::int32_t* steps = index.as<std::int32_t>();
  parallel_rows(shape.records * shape.outputs, c, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t record = row / shape.outputs;
      maximum_of(from + record * shape.inputs * c, window_of(spec, shape, row % shape.outputs), c,
                 to + row * c, steps + row * c);
    }
  });
}

void CpuBackend::max_pool1d_backward(const Pool1dSpec& spec, ConstView index, ConstView dy,
                                     View dx) {
  require_f32("max_pool1d", {dy, dx});
  const PoolShape shape = pool_shape(spec, dx.dims, dy.dims);
  check_index(index, dy.dims);
  if (dx.numel() == 0) return;
  const std::int64_t c = shape.channels;
  const std::int32_t* steps = index.as<std::int32_t>();
  const float* from = dy.as<float>();
  float* to = dx.as<float>();
  parallel_rows(shape.records, shape.inputs * c, [&](std::int64_t begin, std::int64_t end) {
    std::fill_n(to + begin * shape.inputs * c, (end - begin) * shape.inputs * c, 0.0F);
    for (std::int64_t row = begin * shape.outputs; row < end * shape.outputs; ++row) {
      float* out = to + row / shape.outputs * shape.inputs * c;
      for (std::int64_t i = 0; i < c; ++i) out[steps[row * c + i] * c + i] += from[row * c + i];
    }
  });
}

void CpuBackend::avg_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y) {
  require_f32("avg_pool1d", {x, y});
  const PoolShape shape = pool_shape(spec, x.dims, y.dims);
  if (y.numel() == 0) return;
  average_forward(shape, x.as<float>(), y.as<float>(),
                  [&](std::int64_t t) { return window_of(spec, shape, t); });
}

void CpuBackend::avg_pool1d_backward(const Pool1dSpec& spec, ConstView dy, View dx) {
  require_f32("avg_pool1d", {dy, dx});
  const PoolShape shape = pool_shape(spec, dx.dims, dy.dims);
  if (dx.numel() == 0) return;
  average_backward(shape, dy.as<float>(), dx.as<float>(),
                   [&](std::int64_t t) { return window_of(spec, shape, t); });
}

void CpuBackend::adaptive_avg_pool1d_forward(ConstView x, View y) {
  require_f32("adaptive_avg_pool1d", {x, y});
  const PoolShape shape = pool_shape(x.dims, y.dims);
  if (y.numel() == 0) return;
  average_forward(shape, x.as<float>(), y.as<float>(),
                  [&](std::int64_t t) { return adaptive_window_of(shape, t); });
}

void CpuBackend::adaptive_avg_pool1d_backward(ConstView dy, View dx) {
  require_f32("adaptive_avg_pool1d", {dy, dx});
  const PoolShape shape = pool_shape(dx.dims, dy.dims);
  if (dx.numel() == 0) return;
  average_backward(shape, dy.as<float>(), dx.as<float>(),
                   [&](std::int64_t t) { return adaptive_window_of(shape, t); });
}

}  // namespace cardiograd
