// sum over any axes, its dual expand, and the maximum over one axis.
#include <vector>

#include "kernels/cpu/broadcast.h"
#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/plans.h"

namespace cardiograd {
namespace {

CARDIOGRAD_CLONES
double sum_run(const float* __restrict x, std::int64_t count) {
  double total = 0.0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < count; ++i) total += static_cast<double>(x[i]);
  return total;
}

// accumulators[c] += the sum of column c over rows of `width`, `pitch` apart.
CARDIOGRAD_CLONES
void add_columns(const float* __restrict x, std::int64_t rows, std::int64_t pitch,
                 std::int64_t width, double* __restrict accumulators) {
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    const float* r = x + row * pitch;
    for (std::int64_t c = 0; c < width; ++c) {
      accumulators[c] +=
          (static_cast<double>(r[c]) + static_cast<double>(r[c + pitch])) +
          (static_cast<double>(r[c + 2 * pitch]) + static_cast<double>(r[c + 3 * pitch]));
    }
  }
  for (; row < rows; ++row) {
    const float* r = x + row * pitch;
    for (std::int64_t c = 0; c < width; ++c) accumulators[c] += static_cast<double>(r[c]);
  }
}

void sum_rows(const float* x, std::int64_t rows, std::int64_t width, double alpha, float* y) {
  constexpr std::int64_t few = 64;
  if (rows < few && width >= 2 * parallel_grain) {
    for (std::int64_t row = 0; row < rows; ++row) {
      const float* from = x + row * width;
      y[row] =
          static_cast<float>(alpha * ordered_sum(width, [=](std::int64_t begin, std::int64_t end) {
                               return sum_run(from + begin, end - begin);
                             }));
    }
    return;
  }
  parallel_rows(rows, width, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      y[row] = static_cast<float>(alpha * sum_run(x + row * width, width));
    }
  });
}

void sum_middle(BlockCache& blocks, const float* x, const MiddleShape& shape, double alpha,
                float* y) {
  if (shape.inner == 1) {
    sum_rows(x, shape.outer, shape.reduced, alpha, y);
    return;
  }
  const std::int64_t plane = shape.reduced * shape.inner;
  if (shape.outer == 1) {
    const Scratch<double> totals(blocks, shape.inner);
    column_sums<1>(blocks, shape.reduced, shape.inner, totals.data(),
                   [&](std::int64_t row_begin, std::int64_t row_end, std::int64_t begin,
                       std::int64_t end, double* accumulators) {
                     add_columns(x + row_begin * shape.inner + begin, row_end - row_begin,
                                 shape.inner, end - begin, accumulators);
                   });
    for (std::int64_t c = 0; c < shape.inner; ++c) y[c] = static_cast<float>(alpha * totals[c]);
    return;
  }
  constexpr std::int64_t tile = 256;
  parallel_rows(shape.outer, plane, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      for (std::int64_t c0 = 0; c0 < shape.inner; c0 += tile) {
        const std::int64_t width = std::min(tile, shape.inner - c0);
        std::array<double, tile> accumulators{};
        add_columns(x + n * plane + c0, shape.reduced, shape.inner, width, accumulators.data());
        for (std::int64_t c = 0; c < width; ++c) {
          y[n * shape.inner + c0 + c] =
              static_cast<float>(alpha * accumulators[static_cast<std::size_t>(c)]);
        }
      }
    }
  });
}

// Whether `candidate` takes over from `best`: greater, or the first NaN.
inline bool overtakes(float candidate, float best) {
  return candidate > best || (candidate != candidate && best == best);
}

void max_plane(const float* x, const MiddleShape& shape, float* y, std::int32_t* index) {
  std::copy_n(x, shape.inner, y);
  std::fill_n(index, shape.inner, 0);
  for (std::int64_t r = 1; r < shape.reduced; ++r) {
    const float* row = x + r * shape.inner;
    const auto position = static_cast<std::int32_t>(r);
    for (std::int64_t c = 0; c < shape.inner; ++c) {
      const bool better = overtakes(row[c], y[c]);
      y[c] = better ? row[c] : y[c];
      index[c] = better ? position : index[c];
    }
  }
}

}  // namespace

void CpuBackend::sum(ConstView x, double alpha, View y) {
  require_f32("sum", {x, y});
  check_keepdim("sum", x.dims, y.dims);
  if (x.numel() == 0) {
    fill(y, 0.0);
    return;
  }
  if (x.dims == y.dims) {
    scale(x, alpha, y);
    return;
  }
  std::vector<AxisGroup> groups = group_axes(x.dims, y.dims);
  std::size_t which = 0;
  MiddleShape shape = last_reduced(groups, which);
  const bool several =
      std::any_of(groups.begin(), groups.begin() + static_cast<std::ptrdiff_t>(which),
                  [](const AxisGroup& group) { return group.reduced; });
  if (!several) {
    sum_middle(*blocks_, floats(x), shape, alpha, floats(y));
    return;
  }
  // Axes on both sides of a kept one: reduce the last group, then what is left.
  const Scratch<float> part(*blocks_, shape.outer * shape.inner);
  sum_middle(*blocks_, floats(x), shape, 1.0, part.data());
  groups[which].size = 1;
  Dims rest;
  Dims target;
  for (const AxisGroup& group : groups) {
    rest.push_back(group.size);
    target.push_back(group.reduced ? 1 : group.size);
  }
  sum({part.data(), DType::f32, rest}, alpha, {y.data, DType::f32, target});
}

void CpuBackend::expand(ConstView x, double alpha, View y) {
  require_f32("expand", {x, y});
  check_keepdim("expand", y.dims, x.dims);
  const BroadcastPlan plan = plan_broadcast("expand", x.dims, y.dims, y.dims);
  if (y.numel() == 0) return;
  const auto factor = static_cast<float>(alpha);
  const float* from = floats(x);
  float* to = floats(y);
  for_each_run(plan, [=](std::int64_t x_offset, std::int64_t, std::int64_t y_offset,
                         std::int64_t count, std::int64_t x_step, std::int64_t) {
    float* out = to + y_offset;
    if (x_step == 0) {
      std::fill_n(out, count, factor * from[x_offset]);
    } else {
      const float* in = from + x_offset;
      for (std::int64_t i = 0; i < count; ++i) out[i] = factor * in[i];
    }
  });
}

void CpuBackend::max_forward(ConstView x, View y, View index) {
  require_f32("max", {x, y});
  const MiddleShape shape = max_shape("max", x.dims, y.dims);
  require_same_shape("max", y.dims, index.dims);
  auto* positions = index.as<std::int32_t>();
  const float* in = floats(x);
  float* out = floats(y);
  if (y.numel() == 0) return;
  const std::int64_t plane = shape.reduced * shape.inner;
  parallel_rows(shape.outer, plane, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n) {
      max_plane(in + n * plane, shape, out + n * shape.inner, positions + n * shape.inner);
    }
  });
}

void CpuBackend::max_backward(ConstView dy, ConstView index, View dx) {
  require_f32("max", {dy, dx});
  const MiddleShape shape = max_shape("max", dx.dims, dy.dims);
  require_same_shape("max", dy.dims, index.dims);
  const auto* positions = index.as<std::int32_t>();
  const float* in = floats(dy);
  float* out = floats(dx);
  if (dx.numel() == 0) return;
  const std::int64_t plane = shape.reduced * shape.inner;
  parallel_rows(shape.outer, plane, [=](std::int64_t begin, std::int64_t end) {
    std::fill(out + begin * plane, out + end * plane, 0.0F);
    for (std::int64_t n = begin; n < end; ++n) {
      for (std::int64_t c = 0; c < shape.inner; ++c) {
        const std::int64_t from = n * shape.inner + c;
        out[n * plane + positions[from] * shape.inner + c] = in[from];
      }
    }
  });
}

}  // namespace cardiograd
