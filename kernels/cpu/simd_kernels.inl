// The SIMD kernels themselves, in GCC's vector extensions. Each simd_<set>.cpp includes this file
// once, with its own namespace, vector width and register blocks:
//   CARDIOGRAD_SIMD_LANES    floats in a vector
//   CARDIOGRAD_SIMD_ROWS_V   rows of accumulators when a block is V vectors wide, so that
//                            accumulators and operands fit the registers
//   CARDIOGRAD_SIMD_ROWS_4   the same for the four gates of an LSTM
#include "kernels/cpu/simd.h"

namespace cardiograd {
namespace CARDIOGRAD_SIMD_NAMESPACE {
namespace {

constexpr ptrdiff_t lanes = CARDIOGRAD_SIMD_LANES;
typedef float Vector __attribute__((vector_size(sizeof(float) * CARDIOGRAD_SIMD_LANES)));
typedef int32_t IntVector __attribute__((vector_size(sizeof(int32_t) * CARDIOGRAD_SIMD_LANES)));
typedef uint8_t ByteVector __attribute__((vector_size(CARDIOGRAD_SIMD_LANES)));
// The same at any address.
typedef float LooseVector
    __attribute__((vector_size(sizeof(float) * CARDIOGRAD_SIMD_LANES), aligned(4), may_alias));
typedef uint8_t LooseBytes
    __attribute__((vector_size(CARDIOGRAD_SIMD_LANES), aligned(1), may_alias));

inline Vector load(const float* p) { return *reinterpret_cast<const LooseVector*>(p); }
inline void store(float* p, Vector v) { *reinterpret_cast<LooseVector*>(p) = v; }
constexpr ptrdiff_t round_up(ptrdiff_t n) { return (n + lanes - 1) / lanes * lanes; }

// Columns are taken in blocks of one to three vectors, never a lone one after a three.
inline ptrdiff_t block_vectors(ptrdiff_t vectors_left) {
  if (vectors_left == 4) return 2;
  return vectors_left < 3 ? vectors_left : 3;
}

template <int V>
constexpr int max_rows = V == 1   ? CARDIOGRAD_SIMD_ROWS_1
                         : V == 2 ? CARDIOGRAD_SIMD_ROWS_2
                                  : CARDIOGRAD_SIMD_ROWS_3;

// ---- c = windows * panels + bias ----------------------------------------------------------------

template <int R, int V>
void multiply_block(const WindowRows& a, const float* data, const float* panel, const float* bias,
                    float* c, ptrdiff_t c_stride) {
  Vector sums[R][V];
#pragma GCC unroll 3
  for (int v = 0; v < V; ++v) {
    const Vector start = bias ? load(bias + v * lanes) : Vector{};
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) sums[r][v] = start;
  }
  const ptrdiff_t stride = a.row_stride;
  for (ptrdiff_t tap = 0; tap < a.taps; ++tap) {
    const float* window = data + tap * a.tap_stride;
    for (ptrdiff_t k = 0; k < a.depth; ++k) {
      Vector weights[V];
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) weights[v] = load(panel + v * lanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const float x = window[r * stride + k];
#pragma GCC unroll 3
        for (int v = 0; v < V; ++v) sums[r][v] += weights[v] * x;
      }
      panel += V * lanes;
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store(c + r * c_stride + v * lanes, sums[r][v]);
  }
}

// Calls the block of exactly `rows` rows.
template <int R, int V>
void multiply_rows(ptrdiff_t rows, const WindowRows& a, const float* data, const float* panel,
                   const float* bias, float* c, ptrdiff_t c_stride) {
  if constexpr (R > 1) {
    if (rows < R) return multiply_rows<R - 1, V>(rows, a, data, panel, bias, c, c_stride);
  }
  multiply_block<R, V>(a, data, panel, bias, c, c_stride);
}

// Rows are spread evenly over the blocks: a short last block would leave multipliers idle.
template <int V>
void multiply_columns(const WindowRows& a, const float* panel, const float* bias, float* c,
                      ptrdiff_t c_stride) {
  ptrdiff_t blocks = (a.rows + max_rows<V> - 1) / max_rows<V>;
  for (ptrdiff_t row = 0; row < a.rows; --blocks) {
    const ptrdiff_t rows = (a.rows - row + blocks - 1) / blocks;
    multiply_rows<max_rows<V>, V>(rows, a, a.data + row * a.row_stride, panel, bias,
                                  c + row * c_stride, c_stride);
    row += rows;
  }
}

void multiply_windows(const WindowRows& a, const float* panels, ptrdiff_t columns,
                      const float* bias, float* c, ptrdiff_t c_stride) {
  const ptrdiff_t vectors = round_up(columns) / lanes;
  for (ptrdiff_t first = 0, width = 0; first < vectors; first += width) {
    width = block_vectors(vectors - first);
    const float* panel = panels + a.taps * a.depth * first * lanes;
    const float* start = bias ? bias + first * lanes : nullptr;
    float* out = c + first * lanes;
    if (width == 1) multiply_columns<1>(a, panel, start, out, c_stride);
    if (width == 2) multiply_columns<2>(a, panel, start, out, c_stride);
    if (width == 3) multiply_columns<3>(a, panel, start, out, c_stride);
  }
}

void pack_panels(const PanelSource& b, float* panels) {
  const ptrdiff_t vectors = round_up(b.columns) / lanes;
  for (ptrdiff_t first = 0, width = 0; first < vectors; first += width) {
    width = block_vectors(vectors - first);
    for (ptrdiff_t tap = 0; tap < b.taps; ++tap) {
      for (ptrdiff_t k = 0; k < b.depth; ++k) {
        const float* row = b.data + tap * b.tap_stride + k * b.depth_stride;
        for (ptrdiff_t i = 0; i < width * lanes; ++i) {
          const ptrdiff_t column = first * lanes + i;
          *panels++ = column < b.columns ? row[column * b.column_stride] : 0.0F;
        }
      }
    }
  }
}

// ---- c += transposed rows * rows ----------------------------------------------------------------

struct OuterOperands {
  const float* a;
  ptrdiff_t a_stride;
  const float* b;
  ptrdiff_t b_stride;
  ptrdiff_t steps;
};

template <int R, int V>
void outer_block(const OuterOperands& operands, float* c, ptrdiff_t c_stride) {
  Vector sums[R][V];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) sums[r][v] = load(c + r * c_stride + v * lanes);
  }
  const float* a = operands.a;
  const float* b = operands.b;
  for (ptrdiff_t t = 0; t < operands.steps; ++t) {
    Vector row[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) row[v] = load(b + v * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 3
      for (int v = 0; v < V; ++v) sums[r][v] += row[v] * a[r];
    }
    a += operands.a_stride;
    b += operands.b_stride;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < V; ++v) store(c + r * c_stride + v * lanes, sums[r][v]);
  }
}

template <int R, int V>
void outer_rows(ptrdiff_t rows, const OuterOperands& operands, float* c, ptrdiff_t c_stride) {
  if constexpr (R > 1) {
    if (rows < R) return outer_rows<R - 1, V>(rows, operands, c, c_stride);
  }
  outer_block<R, V>(operands, c, c_stride);
}

template <int V>
void outer_columns(OuterOperands operands, ptrdiff_t all_rows, float* c, ptrdiff_t c_stride) {
  ptrdiff_t blocks = (all_rows + max_rows<V> - 1) / max_rows<V>;
  for (ptrdiff_t row = 0; row < all_rows; --blocks) {
    const ptrdiff_t rows = (all_rows - row + blocks - 1) / blocks;
    outer_rows<max_rows<V>, V>(rows, operands, c + row * c_stride, c_stride);
    operands.a += rows;
    row += rows;
  }
}

// Steps are taken in tiles whose rows of b stay in the first-level cache for all rows of a.
void accumulate_outer(const float* a, ptrdiff_t a_stride, ptrdiff_t rows, const float* b,
                      ptrdiff_t b_stride, ptrdiff_t columns, ptrdiff_t steps, float* c,
                      ptrdiff_t c_stride) {
  constexpr ptrdiff_t tile = 256;
  const ptrdiff_t vectors = round_up(columns) / lanes;
  for (ptrdiff_t t = 0; t < steps; t += tile) {
    const ptrdiff_t tile_steps = steps - t < tile ? steps - t : tile;
    for (ptrdiff_t first = 0, width = 0; first < vectors; first += width) {
      width = block_vectors(vectors - first);
      const OuterOperands operands{a + t * a_stride, a_stride, b + t * b_stride + first * lanes,
                                   b_stride, tile_steps};
      float* out = c + first * lanes;
      if (width == 1) outer_columns<1>(operands, rows, out, c_stride);
      if (width == 2) outer_columns<2>(operands, rows, out, c_stride);
      if (width == 3) outer_columns<3>(operands, rows, out, c_stride);
    }
  }
}

// ---- Channel by channel
// --------------------------------------------------------------------------

// Rows first .. first + R - 1 of one vector of channels.
template <int R>
void channels_block(const WindowRows& a, const float* data, const float* weight,
                    ptrdiff_t weight_stride, Vector start, float* c) {
  Vector sums[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) sums[r] = start;
  for (ptrdiff_t tap = 0; tap < a.taps; ++tap) {
    const Vector w = load(weight + tap * weight_stride);
    const float* x = data + tap * a.tap_stride;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sums[r] += w * load(x + r * a.row_stride);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) store(c + r * a.depth, sums[r]);
}

void multiply_channels(const WindowRows& a, const float* weight, ptrdiff_t weight_stride,
                       const float* bias, float* c) {
  constexpr ptrdiff_t block = 8;
  for (ptrdiff_t i = 0; i < a.depth; i += lanes) {
    const Vector start = bias ? load(bias + i) : Vector{};
    ptrdiff_t row = 0;
    for (; row + block <= a.rows; row += block) {
      channels_block<block>(a, a.data + row * a.row_stride + i, weight + i, weight_stride, start,
                            c + row * a.depth + i);
    }
    for (; row < a.rows; ++row) {
      channels_block<1>(a, a.data + row * a.row_stride + i, weight + i, weight_stride, start,
                        c + row * a.depth + i);
    }
  }
}

// R taps of one vector of channels.
template <int R>
void channel_gradient_block(const WindowRows& a, const float* data, const float* dy,
                            float* gradient, ptrdiff_t gradient_stride) {
  Vector sums[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) sums[r] = load(gradient + r * gradient_stride);
  for (ptrdiff_t row = 0; row < a.rows; ++row) {
    const Vector g = load(dy + row * a.depth);
    const float* x = data + row * a.row_stride;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sums[r] += g * load(x + r * a.tap_stride);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) store(gradient + r * gradient_stride, sums[r]);
}

template <int R>
void channel_gradient_taps(ptrdiff_t taps, const WindowRows& a, const float* data, const float* dy,
                           float* gradient, ptrdiff_t gradient_stride) {
  if constexpr (R > 1) {
    if (taps < R) {
      return channel_gradient_taps<R - 1>(taps, a, data, dy, gradient, gradient_stride);
    }
  }
  channel_gradient_block<R>(a, data, dy, gradient, gradient_stride);
}

void accumulate_channels(const WindowRows& a, const float* dy, float* gradient,
                         ptrdiff_t gradient_stride) {
  constexpr ptrdiff_t block = 8;
  for (ptrdiff_t i = 0; i < a.depth; i += lanes) {
    for (ptrdiff_t tap = 0; tap < a.taps; tap += block) {
      channel_gradient_taps<block>(a.taps - tap, a, a.data + tap * a.tap_stride + i, dy + i,
                                   gradient + tap * gradient_stride + i, gradient_stride);
    }
  }
}

// ---- ReLU and max-pooling -----------------------------------------------------------------------

inline float best_of(const float* x, ptrdiff_t x_stride, ptrdiff_t pool, uint8_t dead,
                     uint8_t* winner) {
  float best = x[0];
  ptrdiff_t at = 0;
  for (ptrdiff_t j = 1; j < pool; ++j) {
    const float candidate = x[j * x_stride];
    if (candidate > best || (candidate != candidate && best == best)) {
      best = candidate;
      at = j;
    }
  }
  const bool dies = best <= 0.0F;
  *winner = dies ? dead : static_cast<uint8_t>(at);
  return dies ? 0.0F : best;
}

void relu_pool(const float* x, ptrdiff_t x_stride, ptrdiff_t rows, ptrdiff_t pool,
               ptrdiff_t columns, uint8_t dead, float* y, uint8_t* winner) {
  const IntVector dead_mark = IntVector{} + static_cast<int32_t>(dead);
  for (ptrdiff_t i = 0; i < rows; ++i) {
    const float* window = x + i * pool * x_stride;
    ptrdiff_t c = 0;
    for (; c + lanes <= columns; c += lanes) {
      Vector best = load(window + c);
      IntVector at{};
      for (ptrdiff_t j = 1; j < pool; ++j) {
        const Vector candidate = load(window + j * x_stride + c);
        const IntVector wins = (candidate > best) | ((candidate != candidate) & (best == best));
        best = wins ? candidate : best;
        at = wins ? IntVector{} + static_cast<int32_t>(j) : at;
      }
      const IntVector dies = best <= Vector{};
      store(y + c, dies ? Vector{} : best);
      *reinterpret_cast<LooseBytes*>(winner + c) =
          __builtin_convertvector(dies ? dead_mark : at, ByteVector);
    }
    for (; c < columns; ++c) y[c] = best_of(window + c, x_stride, pool, dead, winner + c);
    y += columns;
    winner += columns;
  }
}

void relu_unpool(const float* dy, const uint8_t* winner, ptrdiff_t rows, ptrdiff_t pool,
                 ptrdiff_t columns, float* dx, ptrdiff_t dx_stride, float* bias_gradient) {
  const ptrdiff_t whole = columns / lanes * lanes;
  for (ptrdiff_t c = 0; c < whole; c += lanes) {
    Vector sum = load(bias_gradient + c);
    for (ptrdiff_t i = 0; i < rows; ++i) {
      const Vector gradient = load(dy + i * columns + c);
      const IntVector at = __builtin_convertvector(
          *reinterpret_cast<const LooseBytes*>(winner + i * columns + c), IntVector);
      sum += at < IntVector{} + static_cast<int32_t>(pool) ? gradient : Vector{};
      float* out = dx + i * pool * dx_stride + c;
      for (ptrdiff_t j = 0; j < pool; ++j) {
        store(out + j * dx_stride,
              at == IntVector{} + static_cast<int32_t>(j) ? gradient : Vector{});
      }
    }
    store(bias_gradient + c, sum);
  }
  if (whole == columns) return;
  for (ptrdiff_t i = 0; i < rows; ++i) {
    for (ptrdiff_t j = 0; j < pool; ++j) {
      for (ptrdiff_t c = whole; c < round_up(columns); ++c) {
        const bool wins = c < columns && winner[i * columns + c] == j;
        const float gradient = wins ? dy[i * columns + c] : 0.0F;
        dx[(i * pool + j) * dx_stride + c] = gradient;
        if (wins) bias_gradient[c] += gradient;
      }
    }
  }
}

void sum_rows(const float* x, ptrdiff_t rows, ptrdiff_t columns, float* sum) {
  const ptrdiff_t whole = columns / lanes * lanes;
  for (ptrdiff_t c = 0; c < whole; c += lanes) {
    Vector total = load(sum + c);
    for (ptrdiff_t i = 0; i < rows; ++i) total += load(x + i * columns + c);
    store(sum + c, total);
  }
  for (ptrdiff_t i = 0; i < rows; ++i) {
    for (ptrdiff_t c = whole; c < columns; ++c) sum[c] += x[i * columns + c];
  }
}

#include "kernels/cpu/simd_lstm.inl"

// Twelve chains hide the latency of four cycles at two operations a cycle, and fit 16 registers.
float spin_multiply_add(ptrdiff_t rounds, double* flops) {
  constexpr int chains = 12;
  Vector sums[chains] = {};
  Vector factor = Vector{} + 0.999F;
  Vector term = Vector{} + 0.001F;
  for (ptrdiff_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sums[i] = sums[i] * factor + term;
  }
  *flops = 2.0 * chains * lanes * static_cast<double>(rounds);
  float total = 0.0F;
  for (int i = 0; i < chains; ++i) {
    for (int lane = 0; lane < lanes; ++lane) total += sums[i][lane];
  }
  return total;
}

constexpr SimdKernels kernels{CARDIOGRAD_SIMD_NAME, lanes,
                              pack_panels,          multiply_windows,
                              accumulate_outer,     multiply_channels,
                              accumulate_channels,  relu_pool,
                              relu_unpool,          sum_rows,
                              lstm_forward_step,    lstm_hidden_state,
                              lstm_backward_step,   spin_multiply_add};

}  // namespace
}  // namespace CARDIOGRAD_SIMD_NAMESPACE
}  // namespace cardiograd
