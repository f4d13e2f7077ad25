// slice, place and permute: memory moved, dtype by its size alone.
#include <array>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {
namespace {

// A part of a tensor along one axis: `rows` runs of `run` bytes, `pitch` bytes apart in the whole,
// from byte `offset`.
struct Window {
  std::int64_t rows = 1;
  std::int64_t run = 0;
  std::int64_t pitch = 0;
  std::int64_t offset = 0;
};

Window window_of(std::string_view operation, const ConstView& whole, const ConstView& part,
                 int axis, std::int64_t start) {
  CG_CHECK(whole.dtype == part.dtype, std::string(operation) + ": the part holds " +
                                          std::string(name_of(part.dtype)) + ", the whole " +
                                          std::string(name_of(whole.dtype)));
  CG_CHECK(whole.dims.rank() == part.dims.rank(), misfit(operation, whole.dims, part.dims));
  const std::int64_t length = whole.dims[axis];
  const int along = axis < 0 ? axis + whole.dims.rank() : axis;
  Window window;
  auto inner = static_cast<std::int64_t>(size_of(whole.dtype));
  for (int i = 0; i < whole.dims.rank(); ++i) {
    CG_CHECK(i == along || whole.dims[i] == part.dims[i], misfit(operation, whole.dims, part.dims));
    if (i < along) window.rows *= whole.dims[i];
    if (i > along) inner *= whole.dims[i];
  }
  CG_CHECK(start >= 0 && start <= length && part.dims[along] <= length - start,
           std::string(operation) + ": " + std::to_string(part.dims[along]) + " from " +
               std::to_string(start) + " on does not lie within axis " + std::to_string(along) +
               " of shape " + whole.dims.to_string());
  window.run = part.dims[along] * inner;
  window.pitch = length * inner;
  window.offset = start * inner;
  return window;
}

// Copies `rows` runs of `run` bytes between memories with different distances from run to run.
void copy_runs(const unsigned char* from, std::int64_t from_pitch, unsigned char* to,
               std::int64_t to_pitch, std::int64_t rows, std::int64_t run) {
  if (run == 0) return;
  parallel_rows(rows, run / 4, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      std::memcpy(to + row * to_pitch, from + row * from_pitch, static_cast<std::size_t>(run));
    }
  });
}

// A permutation as loops over the output, innermost last, without axes of size 1 and with
// neighbours joined that stay neighbours. Strides are those of the input, in elements.
struct PermutePlan {
  int loops = 0;
  std::array<std::int64_t, Dims::max_rank> size{};
  std::array<std::int64_t, Dims::max_rank> x_stride{};
  std::array<std::int64_t, Dims::max_rank> y_stride{};
};

PermutePlan plan_permute(const Dims& x, const std::vector<int>& axes) {
  std::array<std::int64_t, Dims::max_rank> strides{};
  std::int64_t stride = 1;
  for (int axis = x.rank() - 1; axis >= 0; --axis) {
    strides[static_cast<std::size_t>(axis)] = stride;
    stride *= x[axis];
  }
  PermutePlan plan;
  for (int axis : axes) {
    if (x[axis] == 1) continue;
    const std::int64_t x_stride = strides[static_cast<std::size_t>(axis)];
    const auto outer = static_cast<std::size_t>(plan.loops - 1);
    if (plan.loops > 0 && plan.x_stride[outer] == x_stride * x[axis]) {
      plan.size[outer] *= x[axis];
      plan.x_stride[outer] = x_stride;
      continue;
    }
    const auto next = static_cast<std::size_t>(plan.loops++);
    plan.size[next] = x[axis];
    plan.x_stride[next] = x_stride;
  }
  stride = 1;
  for (int loop = plan.loops - 1; loop >= 0; --loop) {
    plan.y_stride[static_cast<std::size_t>(loop)] = stride;
    stride *= plan.size[static_cast<std::size_t>(loop)];
  }
  return plan;
}

// y[i * y_stride + j] = x[i + j * x_stride] for i < rows, j < columns: a transpose, in tiles that
// keep both sides' cache lines at hand.
template <class T>
void transpose(const T* x, std::int64_t x_stride, T* y, std::int64_t y_stride, std::int64_t rows,
               std::int64_t columns) {
  constexpr std::int64_t tile = 16;
  for (std::int64_t j0 = 0; j0 < columns; j0 += tile) {
    const std::int64_t j1 = std::min(columns, j0 + tile);
    for (std::int64_t i0 = 0; i0 < rows; i0 += tile) {
      const std::int64_t i1 = std::min(rows, i0 + tile);
      for (std::int64_t i = i0; i < i1; ++i) {
        for (std::int64_t j = j0; j < j1; ++j) y[i * y_stride + j] = x[i + j * x_stride];
      }
    }
  }
}

// The input's fastest axis is loop `fast`, not the output's last: transposes of (fast, last)
// planes, a slab of `fast` at a time, for every position of the other loops.
template <class T>
void permute_planes(const PermutePlan& plan, int fast, const T* x, T* y) {
  constexpr std::int64_t slab = 64;
  const auto at = [](int loop) { return static_cast<std::size_t>(loop); };
  const int last = plan.loops - 1;
  const std::int64_t rows = plan.size[at(fast)];
  const std::int64_t columns = plan.size[at(last)];
  const std::int64_t slabs = (rows + slab - 1) / slab;
  std::int64_t planes = 1;
  for (int loop = 0; loop < last; ++loop) {
    if (loop != fast) planes *= plan.size[at(loop)];
  }
  parallel_rows(planes * slabs, std::min(rows, slab) * columns,
                [&](std::int64_t begin, std::int64_t end) {
                  for (std::int64_t item = begin; item < end; ++item) {
                    const std::int64_t first = item % slabs * slab;
                    std::int64_t rest = item / slabs;
                    std::int64_t x_offset = first;
                    std::int64_t y_offset = first * plan.y_stride[at(fast)];
                    for (int loop = last - 1; loop >= 0; --loop) {
                      if (loop == fast) continue;
                      const std::int64_t position = rest % plan.size[at(loop)];
                      rest /= plan.size[at(loop)];
                      x_offset += position * plan.x_stride[at(loop)];
                      y_offset += position * plan.y_stride[at(loop)];
                    }
                    transpose(x + x_offset, plan.x_stride[at(last)], y + y_offset,
                              plan.y_stride[at(fast)], std::min(slab, rows - first), columns);
                  }
                });
}

// The last axis stays last: whole runs of it are copied.
void permute_runs(const PermutePlan& plan, const unsigned char* x, unsigned char* y,
                  std::int64_t element) {
  const auto at = [](int loop) { return static_cast<std::size_t>(loop); };
  const int last = plan.loops - 1;
  const std::int64_t run = plan.size[at(last)] * element;
  std::int64_t runs = 1;
  for (int loop = 0; loop < last; ++loop) runs *= plan.size[at(loop)];
  parallel_rows(runs, run / 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t item = begin; item < end; ++item) {
      std::int64_t rest = item;
      std::int64_t offset = 0;
      for (int loop = last - 1; loop >= 0; --loop) {
        offset += rest % plan.size[at(loop)] * plan.x_stride[at(loop)];
        rest /= plan.size[at(loop)];
      }
      std::memcpy(y + item * run, x + offset * element, static_cast<std::size_t>(run));
    }
  });
}

void permute_elements(const PermutePlan& plan, int fast, const void* x, void* y,
                      std::size_t element) {
  const auto run = [&](auto unit) {
    using T = decltype(unit);
    permute_planes(plan, fast, static_cast<const T*>(x), static_cast<T*>(y));
  };
  switch (element) {
    case 1:
      return run(std::uint8_t{});
    case 2:
      return run(std::uint16_t{});
    case 4:
      return run(std::uint32_t{});
    default:
      return run(std::uint64_t{});
  }
}

void check_permutation(const Dims& x, const std::vector<int>& axes, const Dims& y) {
  CG_CHECK(static_cast<int>(axes.size()) == x.rank() && y.rank() == x.rank(),
           misfit("permute", x, y));
  std::array<bool, Dims::max_rank> seen{};
  for (int i = 0; i < x.rank(); ++i) {
    const int axis = axes[static_cast<std::size_t>(i)];
    CG_CHECK(axis >= 0 && axis < x.rank() && !seen[static_cast<std::size_t>(axis)],
             "permute: axes must name each axis of shape " + x.to_string() + " once");
    seen[static_cast<std::size_t>(axis)] = true;
    CG_CHECK(y[i] == x[axis], misfit("permute", x, y));
  }
}

}  // namespace

void CpuBackend::slice(ConstView x, int axis, std::int64_t start, View part) {
  const Window window = window_of("slice", x, part, axis, start);
  copy_runs(static_cast<const unsigned char*>(x.data) + window.offset, window.pitch,
            static_cast<unsigned char*>(part.data), window.run, window.rows, window.run);
}

void CpuBackend::place(ConstView part, int axis, std::int64_t start, View y) {
  const Window window = window_of("place", y, part, axis, start);
  copy_runs(static_cast<const unsigned char*>(part.data), window.run,
            static_cast<unsigned char*>(y.data) + window.offset, window.pitch, window.rows,
            window.run);
}

void CpuBackend::permute(ConstView x, const std::vector<int>& axes, View y) {
  CG_CHECK(x.dtype == y.dtype, "permute: cannot permute " + std::string(name_of(x.dtype)) +
                                   " into " + std::string(name_of(y.dtype)));
  check_permutation(x.dims, axes, y.dims);
  if (x.numel() == 0) return;
  const PermutePlan plan = plan_permute(x.dims, axes);
  if (plan.loops <= 1) {
    copy(x, y);
    return;
  }
  int fast = 0;
  while (plan.x_stride[static_cast<std::size_t>(fast)] != 1) ++fast;
  if (fast == plan.loops - 1) {
    permute_runs(plan, static_cast<const unsigned char*>(x.data),
                 static_cast<unsigned char*>(y.data), static_cast<std::int64_t>(size_of(x.dtype)));
  } else {
    permute_elements(plan, fast, x.data, y.data, size_of(x.dtype));
  }
}

}  // namespace cardiograd
