// Quantisation of values to tokens, and their embedding.
//
// Bytes: quantize 4 + 4 an element (f32), double arithmetic so that a level does not depend on how
// bounds round; embedding_forward 4 an index and 2 operands an element. Bound: memory (a table of
// tokens lies in the second-level cache). embedding_backward reads dy once, and every index once
// for each 8 rows of the table: 32 indices a warp and instruction, from the second-level cache. A
// warp adds the gradients of its 8 rows in registers, in the order of the indices; a long list of
// indices is cut into segments whose number depends on the sizes alone, and their tables are summed
// in order. No atomics.
#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/grid.h"

namespace cardiograd {
namespace cuda {
namespace {

constexpr int warps = block_threads / 32;

// ---- Embedding ----------------------------------------------------------------------------------

struct Table {
  std::int64_t rows = 0;
  std::int64_t width = 0;
  std::int64_t count = 0;  // of indices
};

// y[i] = weight[index[i]], n neighbouring elements a thread; NaN where there is no such row.
template <class T, int n>
CG_KERNEL(block_threads)
void embedding_kernel(const std::int32_t* __restrict__ index, const T* __restrict__ weight,
                      Table table, T* __restrict__ y) {
  const std::int64_t packs = table.width / n;
  for (std::int64_t item = first_item(); item < table.count * packs; item += item_step()) {
    const std::int64_t i = item / packs;
    const std::int64_t c = item % packs * n;
    const std::int32_t row = index[i];
    Pack<T, n> pack;
    if (row >= 0 && row < table.rows) {
      pack = load_pack<n>(weight + row * table.width + c);
    } else {
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        pack[j] = from_float<T>(std::numeric_limits<float>::quiet_NaN());
      }
    }
    store_pack(y + i * table.width + c, pack);
  }
}

constexpr int rows_a_warp = 8;
constexpr std::int64_t segment_indices = 4096;     // the least that is worth a table of its own
constexpr std::int64_t most_partial = 16LL << 20;  // elements of all segments' tables

std::int64_t segments_of(const Table& table) {
  const std::int64_t wanted = (table.count + segment_indices - 1) / segment_indices;
  return std::clamp<std::int64_t>(
      wanted, 1, std::max<std::int64_t>(1, most_partial / (table.rows * table.width)));
}

// y[segment, row, column] = sum of the segment's dy[i, column] with index[i] = row: a warp
// rows_a_warp rows and 32 columns, a lane a column.
template <class T, class Out>
CG_KERNEL(block_threads)
void embedding_backward_kernel(const std::int32_t* __restrict__ index, const T* __restrict__ dy,
                               Table table, std::int64_t segments, Out* __restrict__ y) {
  const int lane = lane_of();
  const std::int64_t groups = (table.rows + rows_a_warp - 1) / rows_a_warp;
  const std::int64_t across = (table.width + 31) / 32;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * warps;
  for (std::int64_t item = static_cast<std::int64_t>(blockIdx.x) * warps + threadIdx.x / 32;
       item < segments * across * groups; item += step) {
    const std::int64_t first_row = item % groups * rows_a_warp;
    const std::int64_t column = item / groups % across * 32 + lane;
    const std::int64_t segment = item / groups / across;
    const bool inside = column < table.width;
    const std::int64_t end = table.count * (segment + 1) / segments;
    float sums[rows_a_warp] = {};
    for (std::int64_t at = table.count * segment / segments; at < end; at += 32) {
      const std::int64_t row = at + lane < end ? index[at + lane] - first_row : -1;
      const bool mine = row >= 0 && row < rows_a_warp;
      const auto found = static_cast<int>(mine ? row : 0);
      for (std::uint32_t matches = ballot(mine); matches != 0; matches &= matches - 1) {
        const int from = std::countr_zero(matches);
        const int which = shuffle(found, from);
        const float value = inside ? to_float(dy[(at + from) * table.width + column]) : 0.0F;
        CG_UNROLL
        for (int r = 0; r < rows_a_warp; ++r) sums[r] += r == which ? value : 0.0F;
      }
    }
    CG_UNROLL
    for (int r = 0; r < rows_a_warp; ++r) {
      if (!inside || first_row + r >= table.rows) continue;
      y[(segment * table.rows + first_row + r) * table.width + column] = from_float<Out>(sums[r]);
    }
  }
}

// y[i] = sum over the segments of x[segment, i]
template <class T>
CG_KERNEL(block_threads)
void sum_segments_kernel(const float* __restrict__ x, std::int64_t segments, std::int64_t count,
                         T* __restrict__ y) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    float total = 0.0F;
    for (std::int64_t segment = 0; segment < segments; ++segment) total += x[segment * count + i];
    y[i] = from_float<T>(total);
  }
}

template <class T, class Out>
void add_rows(const Device& device, const std::int32_t* index, const T* dy, const Table& table,
              std::int64_t segments, Out* y) {
  const std::int64_t items =
      (table.rows + rows_a_warp - 1) / rows_a_warp * ((table.width + 31) / 32) * segments;
  launch<embedding_backward_kernel<T, Out>>(device.blocks_for(items * 32), block_threads, 0,
                                            device.stream, index, dy, table, segments, y);
}

template <class T>
void embedding_backward(const Device& device, BlockCache& blocks, const std::int32_t* index,
                        const T* dy, const Table& table, T* dweight) {
  const std::int64_t segments = segments_of(table);
  if (segments == 1) {
    add_rows(device, index, dy, table, 1, dweight);
    return;
  }
  const std::int64_t size = table.rows * table.width;
  const Scratch<float> partial(blocks, segments * size);
  add_rows(device, index, dy, table, segments, partial.data());
  launch<sum_segments_kernel<T>>(device.blocks_for(size), block_threads, 0, device.stream,
                                 partial.data(), segments, size, dweight);
}

// Throws ShapeError unless the operands fit. Whether the rows exist is not looked at.
Table check_table(const ConstView& indices, const ConstView& weight, const ConstView& y) {
  bool fits = weight.dims.rank() == 2 && y.dims.rank() == indices.dims.rank() + 1 &&
              y.dims[-1] == weight.dims[1];
  for (int axis = 0; fits && axis < indices.dims.rank(); ++axis) {
    fits = indices.dims[axis] == y.dims[axis];
  }
  CG_CHECK(fits, "embedding: indices " + indices.dims.to_string() + ", weight " +
                     weight.dims.to_string() + " and y " + y.dims.to_string() + " do not fit");
  return {weight.dims[0], weight.dims[1], indices.numel()};
}

// ---- Quantisation -------------------------------------------------------------------------------

struct Levels {
  double low;
  double factor;
  double top;
  std::int64_t stride;
  std::int64_t channels;
};

// Four neighbouring elements a thread; `packed`: x and y lie on a boundary of four.
template <class T>
CG_KERNEL(block_threads)
void quantize_kernel(Levels levels, const T* __restrict__ x, std::int64_t count, bool packed,
                     std::int32_t* __restrict__ y) {
  const auto level_of = [&](T value, std::int64_t c) {
    double level = (static_cast<double>(to_float(value)) - levels.low) * levels.factor;
    level = level > 0.0 ? level : 0.0;
    level = level < levels.top ? level : levels.top;
    return static_cast<std::int32_t>(level) + static_cast<std::int32_t>(c * levels.stride);
  };
  for (std::int64_t item = first_item(); item < (count + 3) / 4; item += item_step()) {
    const std::int64_t at = item * 4;
    std::int64_t c = at % levels.channels;
    const bool whole = packed && at + 4 <= count;
    Pack<T, 4> values{};
    if (whole) values = load_pack<4>(x + at);
    Pack<std::int32_t, 4> result{};
    CG_UNROLL
    for (int j = 0; j < 4; ++j) {
      if (!whole && at + j < count) values[j] = x[at + j];
      result[j] = level_of(values[j], c);
      if (!whole && at + j < count) y[at + j] = result[j];
      c = c + 1 == levels.channels ? 0 : c + 1;
    }
    if (whole) store_pack(y + at, result);
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::embedding_forward(ConstView indices, ConstView weight, View y) {
  const cuda::Table table = cuda::check_table(indices, weight, y);
  const auto* index = indices.as<std::int32_t>();
  if (y.numel() == 0) return;
  cuda::dispatch_storage("embedding", {y, weight}, [&](auto element) {
    using T = decltype(element);
    constexpr int n = cuda::pack_size<T>;
    const T* from = cuda::elements<T>(weight);
    T* to = cuda::elements<T>(y);
    const unsigned blocks = device_.blocks_for(y.numel());
    if (table.width % n == 0 && cuda::is_aligned(from, 16) && cuda::is_aligned(to, 16)) {
      cuda::launch<cuda::embedding_kernel<T, n>>(device_.blocks_for(y.numel() / n),
                                                 cuda::block_threads, 0, device_.stream, index,
                                                 from, table, to);
    } else {
      cuda::launch<cuda::embedding_kernel<T, 1>>(blocks, cuda::block_threads, 0, device_.stream,
                                                 index, from, table, to);
    }
  });
}

void CudaBackend::embedding_backward(ConstView indices, ConstView dy, View dweight) {
  const cuda::Table table = cuda::check_table(indices, dweight, dy);
  const auto* index = indices.as<std::int32_t>();
  if (dweight.numel() == 0) return;
  cuda::dispatch_storage("embedding", {dweight, dy}, [&](auto element) {
    using T = decltype(element);
    cuda::embedding_backward(device_, blocks_, index, cuda::elements<T>(dy), table,
                             cuda::elements<T>(dweight));
  });
}

void CudaBackend::quantize(const QuantizeSpec& spec, ConstView x, View y) {
  require_same_shape("quantize", x.dims, y.dims);
  CG_CHECK(x.dims.rank() >= 1 && spec.levels >= 1 && spec.low < spec.high,
           "quantize wants channels, at least one level and low < high; got x " +
               x.dims.to_string() + ", " + std::to_string(spec.levels) + " level(s) from " +
               std::to_string(spec.low) + " to " + std::to_string(spec.high));
  auto* to = y.as<std::int32_t>();
  const std::int64_t count = x.numel();
  if (count == 0) return;
  const cuda::Levels levels{spec.low, static_cast<double>(spec.levels) / (spec.high - spec.low),
                            static_cast<double>(spec.levels - 1), spec.channel_stride, x.dims[-1]};
  cuda::dispatch_storage("quantize", {x}, [&](auto element) {
    using T = decltype(element);
    const T* from = cuda::elements<T>(x);
    const bool packed = cuda::is_aligned(from, 4 * sizeof(T)) && cuda::is_aligned(to, 16);
    cuda::launch<cuda::quantize_kernel<T>>(device_.blocks_for((count + 3) / 4), cuda::block_threads,
                                           0, device_.stream, levels, from, count, packed, to);
  });
}

}  // namespace cardiograd
