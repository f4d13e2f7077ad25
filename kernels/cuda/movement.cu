// slice, place and permute: memory moved, dtype by its size alone.
//
// Bytes: each element is read once and written once; no FLOPs. Bound: memory.
// strided_copy_kernel moves runs that are contiguous on both sides, in the widest unit up to 16
// bytes that divides lengths, strides and addresses. transpose_kernel turns planes in tiles of 32 x
// 32 through shared memory, so that reads and writes both run along their contiguous axis.
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/grid.h"
#include "kernels/plans.h"

namespace cardiograd {
namespace cuda {
namespace {

// Nested loops, innermost last; the innermost one walks a run that is contiguous on both sides.
// Sizes of the innermost loop and all strides are in units.
struct StridedPlan {
  int loops = 0;
  std::array<std::int64_t, Dims::max_rank> size{};
  std::array<std::int64_t, Dims::max_rank> x_stride{};
  std::array<std::int64_t, Dims::max_rank> y_stride{};

  void add_loop(std::int64_t length, std::int64_t x_step, std::int64_t y_step) {
    const auto at = static_cast<std::size_t>(loops++);
    size[at] = length;
    x_stride[at] = x_step;
    y_stride[at] = y_step;
  }
  std::int64_t items() const {
    std::int64_t product = 1;
    for (int loop = 0; loop < loops; ++loop) product *= size[static_cast<std::size_t>(loop)];
    return product;
  }
};

template <class Unit, class Index>
CG_KERNEL(block_threads)
void strided_copy_kernel(StridedPlan plan, const Unit* __restrict__ x, Unit* __restrict__ y,
                         std::int64_t count) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    auto rest = static_cast<Index>(i);
    std::int64_t x_offset = 0;
    std::int64_t y_offset = 0;
    CG_UNROLL
    for (int loop = Dims::max_rank - 1; loop >= 0; --loop) {
      if (loop < plan.loops) {
        const auto size = static_cast<Index>(plan.size[loop]);
        const Index position = rest % size;
        rest /= size;
        x_offset += static_cast<std::int64_t>(position) * plan.x_stride[loop];
        y_offset += static_cast<std::int64_t>(position) * plan.y_stride[loop];
      }
    }
    y[y_offset] = x[x_offset];
  }
}

template <class Unit>
void copy_units(const Device& device, StridedPlan plan, const void* x, void* y) {
  constexpr auto unit = static_cast<std::int64_t>(sizeof(Unit));
  const auto last = static_cast<std::size_t>(plan.loops - 1);
  for (std::size_t loop = 0; loop < last; ++loop) {
    plan.x_stride[loop] /= unit;
    plan.y_stride[loop] /= unit;
  }
  plan.size[last] /= unit;
  const std::int64_t count = plan.items();
  const unsigned blocks = device.blocks_for(count);
  const auto* from = static_cast<const Unit*>(x);
  auto* to = static_cast<Unit*>(y);
  if (count < std::int64_t{1} << 31) {
    launch<strided_copy_kernel<Unit, std::uint32_t>>(blocks, block_threads, 0, device.stream, plan,
                                                     from, to, count);
  } else {
    launch<strided_copy_kernel<Unit, std::uint64_t>>(blocks, block_threads, 0, device.stream, plan,
                                                     from, to, count);
  }
}

// `plan` in bytes; the innermost loop has strides 1 and 1.
void copy_strided(const Device& device, const StridedPlan& plan, const void* x, void* y) {
  if (plan.items() == 0) return;
  const auto last = static_cast<std::size_t>(plan.loops - 1);
  // The lowest bit that is set in any of these is the widest unit that divides them all.
  std::uint64_t all = 16 | std::bit_cast<std::uintptr_t>(x) | std::bit_cast<std::uintptr_t>(y) |
                      static_cast<std::uint64_t>(plan.size[last]);
  for (std::size_t loop = 0; loop < last; ++loop) {
    all |= static_cast<std::uint64_t>(plan.x_stride[loop] | plan.y_stride[loop]);
  }
  switch (all & (~all + 1)) {
    case 16:
      return copy_units<Pack<std::uint64_t, 2>>(device, plan, x, y);
    case 8:
      return copy_units<std::uint64_t>(device, plan, x, y);
    case 4:
      return copy_units<std::uint32_t>(device, plan, x, y);
    case 2:
      return copy_units<std::uint16_t>(device, plan, x, y);
    default:
      return copy_units<std::uint8_t>(device, plan, x, y);
  }
}

constexpr int tile = 32;
constexpr int tile_rows = 8;  // rows of a tile that a block moves at once

// Planes [columns, rows] of x (rows contiguous) become planes [rows, columns] of y (columns
// contiguous); the plan's other loops number the planes.
struct TransposePlan {
  StridedPlan planes;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t x_pitch = 0;  // from column to column
  std::int64_t y_pitch = 0;  // from row to row
};

template <class Unit>
CG_KERNEL(tile* tile_rows)
void transpose_kernel(TransposePlan plan, const Unit* __restrict__ x, Unit* __restrict__ y) {
  CG_SHARED(Unit[tile][tile + 1], held);  // one column more: no bank conflicts
  const std::int64_t across = (plan.rows + tile - 1) / tile;
  const std::int64_t down = (plan.columns + tile - 1) / tile;
  const std::int64_t block = blockIdx.x;
  const std::int64_t first_row = block % across * tile;
  const std::int64_t first_column = block / across % down * tile;
  std::int64_t rest = block / across / down;
  for (int loop = plan.planes.loops - 1; loop >= 0; --loop) {
    const std::int64_t position = rest % plan.planes.size[loop];
    rest /= plan.planes.size[loop];
    x += position * plan.planes.x_stride[loop];
    y += position * plan.planes.y_stride[loop];
  }
  const auto along = static_cast<int>(threadIdx.x);
  for (int i = static_cast<int>(threadIdx.y); i < tile; i += tile_rows) {
    if (first_row + along < plan.rows && first_column + i < plan.columns) {
      held[i][along] = x[(first_column + i) * plan.x_pitch + first_row + along];
    }
  }
  sync_block();
  for (int i = static_cast<int>(threadIdx.y); i < tile; i += tile_rows) {
    if (first_row + i < plan.rows && first_column + along < plan.columns) {
      y[(first_row + i) * plan.y_pitch + first_column + along] = held[along][i];
    }
  }
}

template <class Unit>
void transpose_planes(const Device& device, const TransposePlan& plan, const ConstView& x,
                      const View& y) {
  const std::int64_t blocks =
      (plan.rows + tile - 1) / tile * ((plan.columns + tile - 1) / tile) * plan.planes.items();
  CG_CHECK(blocks < std::int64_t{1} << 31,
           "permute on cuda: shape " + x.dims.to_string() + " is too large");
  launch<transpose_kernel<Unit>>(static_cast<unsigned>(blocks), dim3(tile, tile_rows), 0,
                                 device.stream, plan, static_cast<const Unit*>(x.data),
                                 static_cast<Unit*>(y.data));
}

// The input's fastest axis is loop `fast`, not the output's last.
void transpose(const Device& device, const PermutePlan& plan, int fast, const ConstView& x,
               const View& y) {
  const auto last = static_cast<std::size_t>(plan.loops - 1);
  const auto inner = static_cast<std::size_t>(fast);
  TransposePlan planes;
  planes.rows = plan.size[inner];
  planes.columns = plan.size[last];
  planes.x_pitch = plan.x_stride[last];
  planes.y_pitch = plan.y_stride[inner];
  for (std::size_t loop = 0; loop < last; ++loop) {
    if (loop == inner) continue;
    planes.planes.add_loop(plan.size[loop], plan.x_stride[loop], plan.y_stride[loop]);
  }
  switch (size_of(x.dtype)) {
    case 1:
      return transpose_planes<std::uint8_t>(device, planes, x, y);
    case 2:
      return transpose_planes<std::uint16_t>(device, planes, x, y);
    case 4:
      return transpose_planes<std::uint32_t>(device, planes, x, y);
    default:
      return transpose_planes<std::uint64_t>(device, planes, x, y);
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::slice(ConstView x, int axis, std::int64_t start, View part) {
  const Window window = window_of("slice", x, part, axis, start);
  cuda::StridedPlan plan;
  plan.add_loop(window.rows, window.pitch, window.run);
  plan.add_loop(window.run, 1, 1);
  cuda::copy_strided(device_, plan, static_cast<const unsigned char*>(x.data) + window.offset,
                     part.data);
}

void CudaBackend::place(ConstView part, int axis, std::int64_t start, View y) {
  const Window window = window_of("place", y, part, axis, start);
  cuda::StridedPlan plan;
  plan.add_loop(window.rows, window.run, window.pitch);
  plan.add_loop(window.run, 1, 1);
  cuda::copy_strided(device_, plan, part.data, static_cast<unsigned char*>(y.data) + window.offset);
}

void CudaBackend::permute(ConstView x, const std::vector<int>& axes, View y) {
  CG_CHECK(x.dtype == y.dtype, "permute: cannot permute " + std::string(name_of(x.dtype)) +
                                   " into " + std::string(name_of(y.dtype)));
  check_permutation(x.dims, axes, y.dims);
  if (x.numel() == 0) return;
  const PermutePlan permutation = plan_permute(x.dims, axes);
  if (permutation.loops <= 1) {
    copy(x, y);
    return;
  }
  const int last = permutation.loops - 1;
  int fast = 0;
  while (permutation.x_stride[static_cast<std::size_t>(fast)] != 1) ++fast;
  if (fast != last) {
    cuda::transpose(device_, permutation, fast, x, y);
    return;
  }
  const auto element = static_cast<std::int64_t>(size_of(x.dtype));
  cuda::StridedPlan plan;
  for (int loop = 0; loop < last; ++loop) {
    const auto at = static_cast<std::size_t>(loop);
    plan.add_loop(permutation.size[at], permutation.x_stride[at] * element,
                  permutation.y_stride[at] * element);
  }
  plan.add_loop(permutation.size[static_cast<std::size_t>(last)] * element, 1, 1);
  cuda::copy_strided(device_, plan, x.data, y.data);
}

}  // namespace cardiograd
