// slice, place and permute: memory moved, dtype by its size alone.
#include <array>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/plans.h"

namespace cardiograd {
namespace {

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
