// Scaled dot-product attention (Vaswani et al. 2017) for sequences of a few hundred: scores never
// reach memory (Dao et al. 2022, arXiv:2205.14135).
//
// A block has 16 rows (queries; for dk and dv keys), a warp 4 of them; the other side passes
// through shared memory in tiles of 32, a lane a score, then a lane some columns of the result.
// FLOPs a score and head: 4 D forward; 8 D twice (for dq, and for dk and dv) backward, which
// computes the probabilities again from lse. Bytes: q and y once, k and v once for every 16
// queries, from the second-level cache. Bound: shared memory (a load for 4 fused multiply-adds) in
// f32 arithmetic. Dropout adds a Philox block (about 100 integer instructions) a score. Sums run in
// the order of the keys (queries): no atomics.
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/attention_checks.h"
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/epoch.h"
#include "kernels/cuda/grid.h"

namespace cardiograd {
namespace cuda {
namespace {

constexpr int threads = 128;
constexpr int rows_a_warp = 4;
constexpr int block_rows = threads / 32 * rows_a_warp;
constexpr int tile = 32;  // of the other side
// Each a kernel may use the registers of: as many as leave none of its instances a spill, and as
// shared memory has room for with 4 columns a lane.
constexpr int blocks_a_multiprocessor(int columns) {
  return columns == 1 ? 6 : (columns == 2 ? 5 : 4);
}
constexpr float infinity = std::numeric_limits<float>::infinity();

template <class T>
struct Attention {
  std::int64_t records;
  std::int64_t queries;
  std::int64_t keys;
  std::int64_t width;  // of all heads
  std::int64_t heads;
  std::int64_t head;  // the columns of one
  bool causal;
  bool drops;
  float scale;
  const std::uint8_t* padding;
  const T* additive;
  const std::int32_t* numbers;  // of the records, for their draws
  RandomKey key;
  const std::uint32_t* epoch;
  std::uint32_t threshold;
  float kept;  // factor of what is kept
  const T* q;
  const T* k;
  const T* v;

  // First element of a head in [N, length, width].
  CG_DEVICE std::int64_t at(std::int64_t n, std::int64_t length, std::int64_t h) const {
    return n * length * width + h * head;
  }

  // The score of a dot product; -infinity where query i does not see key j.
  CG_DEVICE float score(float dot, std::int64_t n, std::int64_t i, std::int64_t j) const {
    if (i >= queries || j >= keys || (causal && j > i)) return -infinity;
    if (padding != nullptr && padding[n * keys + j] != 0) return -infinity;
    return dot * scale + (additive != nullptr ? to_float(additive[i * keys + j]) : 0.0F);
  }

  // 0 or `kept`, where something is dropped.
  CG_DEVICE float factor(std::int64_t n, std::int64_t h, std::int64_t i, std::int64_t j) const {
    const std::int64_t block = (h * queries + i) * ((keys + 3) / 4) + j / 4;
    const auto record =
        static_cast<std::uint32_t>(numbers != nullptr ? numbers[n] : static_cast<std::int32_t>(n));
    const Philox::Words words = as_of(key, epoch).draw(record, static_cast<std::uint32_t>(block));
    const auto which = static_cast<int>(j % 4);
    const std::uint32_t low = which % 2 == 0 ? words[0] : words[1];
    const std::uint32_t high = which % 2 == 0 ? words[2] : words[3];
    return ((which < 2 ? low : high) >> 8) >= threshold ? kept : 0.0F;
  }
};

// A block's own rows of two operands and the tile of the other side's, [rows][columns]; columns
// are 32 for each of a lane's. The other side's pitch is odd, so that a column has no bank
// conflict.
template <int columns>
struct Staged {
  static constexpr int width = 32 * columns;
  float own[2][block_rows][width];
  float weights[2][threads][rows_a_warp];  // a lane's scores, for the warp to read
  float other[2][tile][width + 1];
};

// to = up to `rows` rows of a head from row `first` on, zeros beyond the head; returns how many
// there are. What the others hold goes into scores alone, which are -infinity there.
template <int width, int pitch, class T>
CG_DEVICE int load_rows(const T* from, std::int64_t stride, std::int64_t head, std::int64_t first,
                        std::int64_t length, int rows, float (*to)[pitch]) {
  const int count = length - first < rows ? static_cast<int>(length - first) : rows;
  for (int i = static_cast<int>(threadIdx.x); i < count * width; i += threads) {
    const int c = i % width;
    to[i / width][c] = c < head ? to_float(from[(first + i / width) * stride + c]) : 0.0F;
  }
  return count;
}

// dots[r] = own row r of this warp times the lane's row of the tile.
template <int columns>
CG_DEVICE void dot_rows(const Staged<columns>& staged, int which, std::int64_t head,
                        float (&dots)[rows_a_warp]) {
  const int first = static_cast<int>(threadIdx.x) / 32 * rows_a_warp;
  const float* other = staged.other[which][lane_of()];
  for (int r = 0; r < rows_a_warp; ++r) dots[r] = 0.0F;
  for (int c = 0; c < head; c += 4) {
    CG_UNROLL
    for (int r = 0; r < rows_a_warp; ++r) {
      const Pack<float, 4> own = load_pack<4>(&staged.own[which][first + r][c]);
      CG_UNROLL
      for (int i = 0; i < 4; ++i) dots[r] += own[i] * other[c + i];
    }
  }
}

// The dropout's factors of this warp's rows from `first` on and the lane's row `other`. Drawn one
// after the other, through the lane's own place in shared memory: four draws at once would take
// more registers than all the rest.
template <bool of_keys, int columns, class T>
CG_DEVICE Pack<float, rows_a_warp> draw_factors(const Attention<T>& a, std::int64_t n,
                                                std::int64_t h, std::int64_t first,
                                                std::int64_t other, Staged<columns>& staged) {
  if (!a.drops) return {1.0F, 1.0F, 1.0F, 1.0F};
  const std::int64_t length = of_keys ? a.keys : a.queries;
  float* mine = staged.weights[1][threadIdx.x];
  for (int r = 0; r < rows_a_warp && first + r < length; ++r) {
    const std::int64_t own = first + r;
    mine[r] = of_keys ? a.factor(n, h, other, own) : a.factor(n, h, own, other);
  }
  return load_pack<rows_a_warp>(mine);
}

// sums[r][column] += weights[r] of each lane times its row of the tile, which has `count` rows.
// Every lane must call it.
template <int columns>
CG_DEVICE void add_rows(Staged<columns>& staged, int which, int count,
                        const float (&weights)[rows_a_warp], float (&sums)[rows_a_warp][columns]) {
  const int lane = lane_of();
  float(*shared)[rows_a_warp] = staged.weights[which] + (static_cast<int>(threadIdx.x) - lane);
  Pack<float, rows_a_warp> mine;
  CG_UNROLL
  for (int r = 0; r < rows_a_warp; ++r) mine[r] = weights[r];
  sync_warp();  // what was there has been read
  store_pack(shared[lane], mine);
  sync_warp();
  for (int i = 0; i < count; ++i) {
    const Pack<float, rows_a_warp> weight = load_pack<rows_a_warp>(shared[i]);
    CG_UNROLL
    for (int c = 0; c < columns; ++c) {
      const float value = staged.other[which][i][lane + 32 * c];
      CG_UNROLL
      for (int r = 0; r < rows_a_warp; ++r) sums[r][c] += weight[r] * value;
    }
  }
}

template <int columns, class T>
CG_DEVICE void write_rows(const float (&sums)[rows_a_warp][columns],
                          const float (&factor)[rows_a_warp], std::int64_t first,
                          std::int64_t length, std::int64_t stride, std::int64_t head, T* to) {
  CG_UNROLL
  for (int r = 0; r < rows_a_warp; ++r) {
    CG_UNROLL
    for (int c = 0; c < columns; ++c) {
      const int column = lane_of() + 32 * c;
      if (first + r >= length || column >= head) continue;
      to[(first + r) * stride + column] = from_float<T>(sums[r][c] * factor[r]);
    }
  }
}

CG_HOST_DEVICE std::int64_t tiles_of(std::int64_t rows) {
  return (rows + block_rows - 1) / block_rows;
}

// Blocks: x is a tile of rows of a head, y the records, which a block may have several of.
dim3 blocks_of(std::int64_t records, std::int64_t heads, std::int64_t rows) {
  constexpr std::int64_t most = 65535;
  return dim3(static_cast<unsigned>(tiles_of(rows) * heads),
              static_cast<unsigned>(records < most ? records : most));
}

template <class T, int columns>
CG_KERNEL(threads, blocks_a_multiprocessor(columns))
void attention_forward_kernel(Attention<T> a, T* __restrict__ y, float* __restrict__ lse) {
  CG_DYNAMIC_SHARED(Staged<columns>, staged);
  constexpr int width = Staged<columns>::width;
  const auto tiles = static_cast<unsigned>(tiles_of(a.queries));
  const std::int64_t h = blockIdx.x / tiles;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x % tiles) * block_rows;
  const std::int64_t first = begin + static_cast<int>(threadIdx.x) / 32 * rows_a_warp;
  const int lane = lane_of();
  for (std::int64_t n = blockIdx.y; n < a.records; n += gridDim.y) {
    sync_block();  // the record before has been read
    load_rows<width>(a.q + a.at(n, a.queries, h), a.width, a.head, begin, a.queries, block_rows,
                     staged->own[0]);
    float sums[rows_a_warp][columns] = {};
    float largest[rows_a_warp];
    float total[rows_a_warp] = {};
    for (float& each : largest) each = -infinity;
    const std::int64_t seen = begin + block_rows < a.keys ? begin + block_rows : a.keys;
    const std::int64_t end = a.causal ? seen : a.keys;
    for (std::int64_t at = 0; at < end; at += tile) {
      sync_block();
      const std::int64_t from = a.at(n, a.keys, h);
      load_rows<width>(a.k + from, a.width, a.head, at, a.keys, tile, staged->other[0]);
      const int count =
          load_rows<width>(a.v + from, a.width, a.head, at, a.keys, tile, staged->other[1]);
      sync_block();
      float weights[rows_a_warp];
      dot_rows(*staged, 0, a.head, weights);
      const auto factors = draw_factors<false>(a, n, h, first, at + lane, *staged);
      CG_UNROLL
      for (int r = 0; r < rows_a_warp; ++r) {
        const float score = a.score(weights[r], n, first + r, at + lane);
        const float best = warp_reduce(score, [](float b, float c) { return math::max(b, c); });
        const float now = math::max(largest[r], best);
        // Without a key so far, exponentials are those of -infinity: 0.
        const float shift = now == -infinity ? 0.0F : now;
        const float shrink = math::exp(largest[r] - shift);
        const float p = math::exp(score - shift);
        largest[r] = now;
        total[r] = total[r] * shrink + warp_sum(p);
        CG_UNROLL
        for (int c = 0; c < columns; ++c) sums[r][c] *= shrink;
        weights[r] = score == -infinity ? 0.0F : p * factors[r];
      }
      add_rows(*staged, 1, count, weights, sums);
    }
    float inverse[rows_a_warp];
    CG_UNROLL
    for (int r = 0; r < rows_a_warp; ++r) {
      inverse[r] = total[r] == 0.0F ? 0.0F : 1.0F / total[r];
      if (lane != 0 || first + r >= a.queries) continue;
      const float sum = total[r] == 0.0F ? -infinity : largest[r] + math::log(total[r]);
      lse[(n * a.heads + h) * a.queries + first + r] = sum;
    }
    write_rows(sums, inverse, first, a.queries, a.width, a.head, y + a.at(n, a.queries, h));
  }
}

// delta [N, heads, Lq] = sum of dy y over a head: the mean of the probabilities' gradients.
template <class T>
CG_KERNEL(block_threads)
void attention_delta_kernel(Attention<T> a, const T* __restrict__ y, const T* __restrict__ dy,
                            float* __restrict__ delta) {
  const std::int64_t count = a.records * a.queries * a.heads;
  for (std::int64_t item = first_item(); item < count; item += item_step()) {
    const std::int64_t h = item % a.heads;
    const std::int64_t row = item / a.heads;
    float total = 0.0F;
    for (std::int64_t c = 0; c < a.head; ++c) {
      const std::int64_t at = row * a.width + h * a.head + c;
      total += to_float(dy[at]) * to_float(y[at]);
    }
    delta[(row / a.queries * a.heads + h) * a.queries + row % a.queries] = total;
  }
}

// dq, the block's rows being queries; or dk and dv, its rows being keys (of_keys).
template <class T, int columns, bool of_keys>
CG_KERNEL(threads, blocks_a_multiprocessor(columns))
void attention_backward_kernel(Attention<T> a, const float* __restrict__ lse,
                               const float* __restrict__ delta, const T* __restrict__ dy,
                               T* __restrict__ d_first, T* __restrict__ d_second) {
  CG_DYNAMIC_SHARED(Staged<columns>, staged);
  constexpr int width = Staged<columns>::width;
  const std::int64_t own_length = of_keys ? a.keys : a.queries;
  const std::int64_t other_length = of_keys ? a.queries : a.keys;
  const auto tiles = static_cast<unsigned>(tiles_of(own_length));
  const std::int64_t h = blockIdx.x / tiles;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.x % tiles) * block_rows;
  const std::int64_t first = begin + static_cast<int>(threadIdx.x) / 32 * rows_a_warp;
  const int lane = lane_of();
  for (std::int64_t n = blockIdx.y; n < a.records; n += gridDim.y) {
    const std::int64_t of_own = a.at(n, own_length, h);
    const std::int64_t of_other = a.at(n, other_length, h);
    const std::int64_t statistics = (n * a.heads + h) * a.queries;
    sync_block();  // the record before has been read
    load_rows<width>((of_keys ? a.k : a.q) + of_own, a.width, a.head, begin, own_length, block_rows,
                     staged->own[0]);
    load_rows<width>((of_keys ? a.v : dy) + of_own, a.width, a.head, begin, own_length, block_rows,
                     staged->own[1]);
    float first_sums[rows_a_warp][columns] = {};
    float second_sums[rows_a_warp][columns] = {};
    const std::int64_t seen = begin + block_rows < a.keys ? begin + block_rows : a.keys;
    const std::int64_t end = a.causal && !of_keys ? seen : other_length;
    for (std::int64_t at = a.causal && of_keys ? begin / tile * tile : 0; at < end; at += tile) {
      sync_block();
      load_rows<width>((of_keys ? a.q : a.k) + of_other, a.width, a.head, at, other_length, tile,
                       staged->other[0]);
      const int count = load_rows<width>((of_keys ? dy : a.v) + of_other, a.width, a.head, at,
                                         other_length, tile, staged->other[1]);
      sync_block();
      float weights[rows_a_warp];    // gradients of the scores
      float gradients[rows_a_warp];  // of the probabilities, then these themselves
      dot_rows(*staged, 0, a.head, weights);
      dot_rows(*staged, 1, a.head, gradients);
      const auto factors = draw_factors<of_keys>(a, n, h, first, at + lane, *staged);
      CG_UNROLL
      for (int r = 0; r < rows_a_warp; ++r) {
        const std::int64_t i = of_keys ? at + lane : first + r;
        const std::int64_t j = of_keys ? first + r : at + lane;
        const float score = a.score(weights[r], n, i, j);
        float p = 0.0F;
        weights[r] = 0.0F;
        if (score != -infinity) {
          p = math::exp(score - lse[statistics + i]);
          // One key's probability is 1 whatever its score: rounding must not tell otherwise.
          if (a.keys > 1) weights[r] = p * (factors[r] * gradients[r] - delta[statistics + i]);
          p *= factors[r];
        }
        gradients[r] = p;
      }
      add_rows(*staged, 0, count, weights, first_sums);
      if constexpr (of_keys) add_rows(*staged, 1, count, gradients, second_sums);
    }
    const float scale[rows_a_warp] = {a.scale, a.scale, a.scale, a.scale};
    write_rows(first_sums, scale, first, own_length, a.width, a.head, d_first + of_own);
    if constexpr (of_keys) {
      const float one[rows_a_warp] = {1.0F, 1.0F, 1.0F, 1.0F};
      write_rows(second_sums, one, first, own_length, a.width, a.head, d_second + of_own);
    }
  }
}

// Calls run(std::integral_constant<int, columns>) with the columns that a lane has.
template <class Run>
void with_columns(std::int64_t head, const Run& run) {
  if (head <= 32) return run(std::integral_constant<int, 1>{});
  if (head <= 64) return run(std::integral_constant<int, 2>{});
  if (head <= 128) return run(std::integral_constant<int, 4>{});
  throw DeviceError("attention on cuda: a head has at most 128 columns, got " +
                    std::to_string(head) + "; use more heads or device = \"cpu\"");
}

template <class T>
Attention<T> attention_of(const Device& device, const AttentionSpec& spec,
                          const AttentionMasks& masks, const ConstView& q, const ConstView& k,
                          const ConstView& v) {
  const std::int64_t head = q.dims[2] / spec.heads;
  const double p = spec.dropout;
  return {q.dims[0],
          q.dims[1],
          k.dims[1],
          q.dims[2],
          spec.heads,
          head,
          spec.causal,
          p > 0.0,
          static_cast<float>(1.0 / std::sqrt(static_cast<double>(head))),
          masks.padding.present() ? masks.padding.as<std::uint8_t>() : nullptr,
          elements<T>(masks.additive),
          masks.records.present() ? masks.records.as<std::int32_t>() : nullptr,
          spec.key,
          device.epoch,
          static_cast<std::uint32_t>(std::ceil(p * 0x1p24)),
          p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0F,
          elements<T>(q),
          elements<T>(k),
          elements<T>(v)};
}

}  // namespace
}  // namespace cuda

void CudaBackend::attention_forward(const AttentionSpec& spec, const AttentionMasks& masks,
                                    ConstView q, ConstView k, ConstView v, View y, View lse) {
  check_attention(spec, masks, q, k, v, lse);
  require_same_shape("attention", q.dims, y.dims);
  cuda::require_dtype("attention's lse", DType::f32, {lse});
  cuda::dispatch_storage("attention", {q, k, v, y, masks.additive}, [&](auto element) {
    using T = decltype(element);
    const cuda::Attention<T> a = cuda::attention_of<T>(device_, spec, masks, q, k, v);
    cuda::with_columns(a.head, [&](auto columns) {
      constexpr int n = decltype(columns)::value;
      cuda::launch<cuda::attention_forward_kernel<T, n>>(
          cuda::blocks_of(a.records, a.heads, a.queries), cuda::threads, sizeof(cuda::Staged<n>),
          device_.stream, a, cuda::elements<T>(y), cuda::elements<float>(lse));
    });
  });
}

void CudaBackend::attention_backward(const AttentionSpec& spec, const AttentionMasks& masks,
                                     ConstView q, ConstView k, ConstView v, ConstView y,
                                     ConstView lse, ConstView dy, View dq, View dk, View dv) {
  check_attention(spec, masks, q, k, v, lse);
  for (const ConstView& view : {y, dy, ConstView(dq)}) {
    require_same_shape("attention", q.dims, view.dims);
  }
  for (const ConstView& view : {ConstView(dk), ConstView(dv)}) {
    require_same_shape("attention", k.dims, view.dims);
  }
  cuda::require_dtype("attention", q.dtype, {dq, dk, dv});
  cuda::require_dtype("attention's lse", DType::f32, {lse});
  cuda::dispatch_storage("attention", {q, k, v, y, dy, masks.additive}, [&](auto element) {
    using T = decltype(element);
    const cuda::Attention<T> a = cuda::attention_of<T>(device_, spec, masks, q, k, v);
    const Scratch<float> delta(blocks_, lse.numel());
    cuda::launch<cuda::attention_delta_kernel<T>>(
        device_.blocks_for(lse.numel()), cuda::block_threads, 0, device_.stream, a,
        cuda::elements<T>(y), cuda::elements<T>(dy), delta.data());
    cuda::with_columns(a.head, [&](auto columns) {
      constexpr int n = decltype(columns)::value;
      cuda::launch<cuda::attention_backward_kernel<T, n, false>>(
          cuda::blocks_of(a.records, a.heads, a.queries), cuda::threads, sizeof(cuda::Staged<n>),
          device_.stream, a, cuda::elements<float>(lse), delta.data(), cuda::elements<T>(dy),
          cuda::elements<T>(dq), static_cast<T*>(nullptr));
      cuda::launch<cuda::attention_backward_kernel<T, n, true>>(
          cuda::blocks_of(a.records, a.heads, a.keys), cuda::threads, sizeof(cuda::Staged<n>),
          device_.stream, a, cuda::elements<float>(lse), delta.data(), cuda::elements<T>(dy),
          cuda::elements<T>(dk), cuda::elements<T>(dv));
    });
  });
}

}  // namespace cardiograd
