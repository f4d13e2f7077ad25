// Quantisation of values to tokens, and their embedding.
#include <algorithm>

#include "kernels/cpu/block_cache.h"
#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {
namespace {

struct Table {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::int64_t count = 0;  // of indices
};

// Throws ShapeError unless the operands fit, InputError where an index lies outside.
Table check_embedding(const ConstView& indices, const ConstView& weight, const ConstView& y) {
  bool fits = weight.dims.rank() == 2 && y.dims.rank() == indices.dims.rank() + 1 &&
              y.dims[-1] == weight.dims[1];
  for (int axis = 0; fits && axis < indices.dims.rank(); ++axis) {
    fits = indices.dims[axis] == y.dims[axis];
  }
  CG_CHECK(fits, "embedding: indices " + indices.dims.to_string() + ", weight " +
                     weight.dims.to_string() + " and y " + y.dims.to_string() + " do not fit");
  const Table table{weight.dims[0], weight.dims[1], indices.numel()};
  const auto* index = indices.as<std::int32_t>();
  const auto outside = [&](std::int32_t i) { return i < 0 || i >= table.rows; };
  const auto* found = std::find_if(index, index + table.count, outside);
  if (found != index + table.count) {
    throw InputError("embedding: index " + std::to_string(*found) + " lies outside a table of " +
                     std::to_string(table.rows) + " rows");
  }
  return table;
}

// In double, so that a value's level does not depend on how the bounds round.
CARDIOGRAD_CLONES
void quantize_row(double low, double factor, double top, std::int64_t stride, std::int64_t channels,
                  const float* __restrict x, std::int32_t* __restrict y) {
  for (std::int64_t c = 0; c < channels; ++c) {
    double level = (static_cast<double>(x[c]) - low) * factor;
    level = level > 0.0 ? level : 0.0;
    level = level < top ? level : top;
    y[c] = static_cast<std::int32_t>(level) + static_cast<std::int32_t>(c * stride);
  }
}

}  // namespace

void CpuBackend::embedding_forward(ConstView indices, ConstView weight, View y) {
  require_f32("embedding", {weight, y});
  const Table table = check_embedding(indices, weight, y);
  const auto* index = indices.as<std::int32_t>();
  parallel_rows(table.count, table.width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::copy_n(floats(weight) + index[i] * table.width, table.width,
                  floats(y) + i * table.width);
    }
  });
}

// Each part of the table looks at all indices and adds its own rows' gradients in their order.
void CpuBackend::embedding_backward(ConstView indices, ConstView dy, View dweight) {
  require_f32("embedding", {dy, dweight});
  const Table table = check_embedding(indices, dweight, dy);
  fill(dweight, 0.0);
  const auto* index = indices.as<std::int32_t>();
  constexpr std::int64_t most_parts = 16;
  const std::int64_t parts =
      std::clamp<std::int64_t>(table.count * table.width / parallel_grain, 1, most_parts);
  parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    const auto first = static_cast<std::int32_t>(table.rows * begin / parts);
    const auto last = static_cast<std::int32_t>(table.rows * end / parts);
    for (std::int64_t i = 0; i < table.count; ++i) {
      if (index[i] < first || index[i] >= last) continue;
      const float* from = floats(dy) + i * table.width;
      float* to = floats(dweight) + index[i] * table.width;
      for (std::int64_t c = 0; c < table.width; ++c) to[c] += from[c];
    }
  });
}

void CpuBackend::quantize(const QuantizeSpec& spec, ConstView x, View y) {
  require_f32("quantize", {x});
  require_same_shape("quantize", x.dims, y.dims);
  CG_CHECK(x.dims.rank() >= 1 && spec.levels >= 1 && spec.low < spec.high,
           "quantize wants channels, at least one level and low < high; got x " +
               x.dims.to_string() + ", " + std::to_string(spec.levels) + " level(s) from " +
               std::to_string(spec.low) + " to " + std::to_string(spec.high));
  const std::int64_t channels = x.dims[-1];
  auto* levels = y.as<std::int32_t>();
  const double factor = static_cast<double>(spec.levels) / (spec.high - spec.low);
  const auto top = static_cast<double>(spec.levels - 1);
  const std::int64_t rows = channels > 0 ? x.numel() / channels : 0;
  parallel_rows(rows, channels, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      quantize_row(spec.low, factor, top, spec.channel_stride, channels, floats(x) + row * channels,
                   levels + row * channels);
    }
  });
}

}  // namespace cardiograd
