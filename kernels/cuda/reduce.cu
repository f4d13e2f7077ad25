// sum over any axes, and the maximum over one axis with its gradient.
//
// Bytes: x is read once, y is smaller; one FLOP an element of x. max_backward writes dx once.
// Bound: memory. A long axis is cut into chunks whose length is a constant, each chunk is summed by
// one warp (last axis) or one block (columns) in a fixed order, and the chunks' partial sums are
// summed the same way: no atomics, the same bits on every device and in every run.
#include <vector>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/grid.h"
#include "kernels/plans.h"

namespace cardiograd {
namespace cuda {
namespace {

constexpr int warps = block_threads / 32;
constexpr std::int64_t row_chunk = 4096;    // elements that a warp sums
constexpr std::int64_t column_chunk = 512;  // rows that a block sums

// y[row, chunk] = alpha * sum of x[row, chunk * row_chunk ...], a warp each. `packed`: every chunk
// begins on 16 bytes.
template <class In, class Out>
CG_KERNEL(block_threads)
void sum_rows_kernel(const In* __restrict__ x, std::int64_t rows, std::int64_t width, float alpha,
                     bool packed, Out* __restrict__ y) {
  constexpr int n = pack_size<In>;
  const std::int64_t chunks = (width + row_chunk - 1) / row_chunk;
  const int lane = lane_of();
  // All lanes of a warp stay together: the item is the warp's.
  for (std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
       item < rows * chunks; item += static_cast<std::int64_t>(gridDim.x) * warps) {
    const std::int64_t first = item % chunks * row_chunk;
    const std::int64_t left = width - first;
    const std::int64_t count = left < row_chunk ? left : row_chunk;
    const In* from = x + item / chunks * width + first;
    const std::int64_t packs = packed ? count / n : 0;
    float total = 0.0F;
    for (std::int64_t i = lane; i < packs; i += 32) {
      const Pack<In, n> pack = load_pack<n>(from + i * n);
      CG_UNROLL
      for (int j = 0; j < n; ++j) total += to_float(pack[j]);
    }
    for (std::int64_t i = packs * n + lane; i < count; i += 32) total += to_float(from[i]);
    total = warp_sum(total);
    if (lane == 0) y[item] = from_float<Out>(alpha * total);
  }
}

// x as [outer, reduced, inner]: y[outer, chunk, inner] = alpha * sum over the chunk's rows. A block
// holds `columns` columns (a power of two up to 32, in threadIdx.x) by block_threads / columns
// rows.
template <class In, class Out>
CG_KERNEL(block_threads)
void sum_columns_kernel(const In* __restrict__ x, MiddleShape shape, float alpha,
                        Out* __restrict__ y) {
  CG_SHARED(float[block_threads], partial);
  const auto columns = static_cast<int>(blockDim.x);
  const auto lanes = static_cast<int>(blockDim.y);
  const std::int64_t across = (shape.inner + columns - 1) / columns;
  const std::int64_t chunks = (shape.reduced + column_chunk - 1) / column_chunk;
  const auto lane = static_cast<int>(threadIdx.y);
  for (std::int64_t item = blockIdx.x; item < across * chunks * shape.outer; item += gridDim.x) {
    const std::int64_t column = item % across * columns + threadIdx.x;
    const std::int64_t chunk = item / across % chunks;
    const std::int64_t outer = item / across / chunks;
    const std::int64_t first = chunk * column_chunk;
    const std::int64_t left = shape.reduced - first;
    const std::int64_t count = left < column_chunk ? left : column_chunk;
    float total = 0.0F;
    if (column < shape.inner) {
      const In* from = x + (outer * shape.reduced + first) * shape.inner + column;
      for (std::int64_t row = lane; row < count; row += lanes) {
        total += to_float(from[row * shape.inner]);
      }
    }
    partial[lane * columns + static_cast<int>(threadIdx.x)] = total;
    sync_block();
    for (int half = lanes / 2; half > 0; half /= 2) {
      if (lane < half) {
        partial[lane * columns + static_cast<int>(threadIdx.x)] +=
            partial[(lane + half) * columns + static_cast<int>(threadIdx.x)];
      }
      sync_block();
    }
    if (lane == 0 && column < shape.inner) {
      y[(outer * chunks + chunk) * shape.inner + column] =
          from_float<Out>(alpha * partial[threadIdx.x]);
    }
    sync_block();  // partial is written again by the next item
  }
}

unsigned column_width(std::int64_t inner) {
  unsigned columns = 1;
  while (columns < 32 && static_cast<std::int64_t>(columns) < inner) columns *= 2;
  return columns;
}

// One stage: [outer, reduced, inner] to [outer, chunks, inner].
template <class In, class Out>
void sum_stage(const Device& device, const In* x, const MiddleShape& shape, float alpha, Out* y) {
  if (shape.inner == 1) {
    const std::int64_t items = shape.outer * ((shape.reduced + row_chunk - 1) / row_chunk);
    const bool packed =
        is_aligned(x, 16) && (shape.outer == 1 || shape.reduced % pack_size<In> == 0);
    launch<sum_rows_kernel<In, Out>>(device.blocks_for(items * 32), block_threads, 0, device.stream,
                                     x, shape.outer, shape.reduced, alpha, packed, y);
    return;
  }
  const unsigned columns = column_width(shape.inner);
  const std::int64_t items = (shape.inner + columns - 1) / columns *
                             ((shape.reduced + column_chunk - 1) / column_chunk) * shape.outer;
  launch<sum_columns_kernel<In, Out>>(device.blocks_for(items, 1),
                                      dim3(columns, block_threads / columns), 0, device.stream, x,
                                      shape, alpha, y);
}

// Stage after stage, until one chunk is left.
template <class In, class Out>
void sum_middle(const Device& device, BlockCache& blocks, const In* x, MiddleShape shape,
                float alpha, Out* y) {
  const std::int64_t chunk = shape.inner == 1 ? row_chunk : column_chunk;
  const std::int64_t chunks = (shape.reduced + chunk - 1) / chunk;
  if (chunks <= 1) {
    sum_stage(device, x, shape, alpha, y);
    return;
  }
  const Scratch<float> partial(blocks, shape.outer * chunks * shape.inner);
  sum_stage(device, x, shape, 1.0F, partial.data());
  shape.reduced = chunks;
  sum_middle(device, blocks, static_cast<const float*>(partial.data()), shape, alpha, y);
}

// Group after group of reduced axes, the last first; between them in f32.
template <class In, class Out>
void sum_groups(const Device& device, BlockCache& blocks, const In* x,
                std::vector<AxisGroup> groups, float alpha, Out* y) {
  std::size_t which = 0;
  const MiddleShape shape = last_reduced(groups, which);
  bool several = false;
  for (std::size_t i = 0; i < which && i < groups.size(); ++i) several |= groups[i].reduced;
  if (!several) {
    sum_middle(device, blocks, x, shape, alpha, y);
    return;
  }
  const Scratch<float> part(blocks, shape.outer * shape.inner);
  sum_middle(device, blocks, x, shape, 1.0F, part.data());
  groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(which));
  sum_groups(device, blocks, static_cast<const float*>(part.data()), std::move(groups), alpha, y);
}

// ---- Maximum ------------------------------------------------------------------------------------

struct Best {
  float value;
  std::int32_t position;
};

// The greater one, the first among equals, and a NaN before everything else.
CG_DEVICE Best better(Best a, Best b) {
  const bool a_nan = a.value != a.value;
  const bool b_nan = b.value != b.value;
  bool take_b = false;
  if (a_nan || b_nan) {
    take_b = b_nan && (!a_nan || b.position < a.position);
  } else {
    take_b = b.value > a.value || (b.value == a.value && b.position < a.position);
  }
  return take_b ? b : a;
}

// inner is 1: a warp a row.
template <class T>
CG_KERNEL(block_threads)
void max_rows_kernel(const T* __restrict__ x, std::int64_t rows, std::int64_t width,
                     T* __restrict__ y, std::int32_t* __restrict__ index) {
  const int lane = lane_of();
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
       row < rows; row += static_cast<std::int64_t>(gridDim.x) * warps) {
    const T* from = x + row * width;
    // A lane beyond the row repeats its first element, which never wins against itself.
    Best best{to_float(from[lane < width ? lane : 0]), lane < width ? lane : 0};
    for (std::int64_t i = lane + 32; i < width; i += 32) {
      best = better(best, {to_float(from[i]), static_cast<std::int32_t>(i)});
    }
    CG_UNROLL
    for (int distance = 16; distance > 0; distance /= 2) {
      const float value = shuffle_xor(best.value, distance);
      const std::int32_t position = shuffle_xor(best.position, distance);
      best = better(best, {value, position});
    }
    if (lane == 0) {
      y[row] = from_float<T>(best.value);
      index[row] = best.position;
    }
  }
}

// inner above 1: a thread an output, coalesced along inner.
template <class T>
CG_KERNEL(block_threads)
void max_columns_kernel(const T* __restrict__ x, MiddleShape shape, T* __restrict__ y,
                        std::int32_t* __restrict__ index) {
  for (std::int64_t i = first_item(); i < shape.outer * shape.inner; i += item_step()) {
    const T* from = x + i / shape.inner * shape.reduced * shape.inner + i % shape.inner;
    Best best{to_float(*from), 0};
    for (std::int64_t r = 1; r < shape.reduced; ++r) {
      best = better(best, {to_float(from[r * shape.inner]), static_cast<std::int32_t>(r)});
    }
    y[i] = from_float<T>(best.value);
    index[i] = best.position;
  }
}

// A gather, so that dx is written whole and coalesced: dx[n, r, c] = dy[n, c] where index[n, c] =
// r.
template <class T, class Index>
CG_KERNEL(block_threads)
void max_backward_kernel(const T* __restrict__ dy, const std::int32_t* __restrict__ index,
                         MiddleShape shape, T* __restrict__ dx) {
  const auto inner = static_cast<Index>(shape.inner);
  const auto plane = static_cast<Index>(shape.inner * shape.reduced);
  const std::int64_t count = shape.outer * shape.reduced * shape.inner;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const auto at = static_cast<Index>(i);
    const Index n = at / plane;
    const Index r = at % plane / inner;
    const Index from = n * inner + at % inner;
    dx[i] = static_cast<Index>(index[from]) == r ? dy[from] : from_float<T>(0.0F);
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::sum(ConstView x, double alpha, View y) {
  check_keepdim("sum", x.dims, y.dims);
  if (x.numel() == 0) {
    fill(y, 0.0);
    return;
  }
  if (x.dims == y.dims) {
    scale(x, alpha, y);
    return;
  }
  cuda::dispatch_storage("sum", {y, x}, [&](auto element) {
    using T = decltype(element);
    cuda::sum_groups(device_, blocks_, cuda::elements<T>(x), group_axes(x.dims, y.dims),
                     static_cast<float>(alpha), cuda::elements<T>(y));
  });
}

void CudaBackend::max_forward(ConstView x, View y, View index) {
  const MiddleShape shape = max_shape("max", x.dims, y.dims);
  require_same_shape("max", y.dims, index.dims);
  auto* positions = index.as<std::int32_t>();
  if (y.numel() == 0) return;
  cuda::dispatch_storage("max", {y, x}, [&](auto element) {
    using T = decltype(element);
    if (shape.inner == 1) {
      cuda::launch<cuda::max_rows_kernel<T>>(
          device_.blocks_for(shape.outer * 32), cuda::block_threads, 0, device_.stream,
          cuda::elements<T>(x), shape.outer, shape.reduced, cuda::elements<T>(y), positions);
    } else {
      cuda::launch<cuda::max_columns_kernel<T>>(device_.blocks_for(y.numel()), cuda::block_threads,
                                                0, device_.stream, cuda::elements<T>(x), shape,
                                                cuda::elements<T>(y), positions);
    }
  });
}

void CudaBackend::max_backward(ConstView dy, ConstView index, View dx) {
  const MiddleShape shape = max_shape("max", dx.dims, dy.dims);
  require_same_shape("max", dy.dims, index.dims);
  const auto* positions = index.as<std::int32_t>();
  const std::int64_t count = dx.numel();
  if (count == 0) return;
  cuda::dispatch_storage("max", {dx, dy}, [&](auto element) {
    using T = decltype(element);
    const unsigned blocks = device_.blocks_for(count);
    if (count < std::int64_t{1} << 31) {
      cuda::launch<cuda::max_backward_kernel<T, std::uint32_t>>(
          blocks, cuda::block_threads, 0, device_.stream, cuda::elements<T>(dy), positions, shape,
          cuda::elements<T>(dx));
    } else {
      cuda::launch<cuda::max_backward_kernel<T, std::uint64_t>>(
          blocks, cuda::block_threads, 0, device_.stream, cuda::elements<T>(dy), positions, shape,
          cuda::elements<T>(dx));
    }
  });
}

}  // namespace cardiograd
