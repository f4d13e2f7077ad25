// Scaled dot-product attention (Vaswani et al. 2017), a record's head at a time on one thread.
//
// A tile of queries meets all keys. Its scores lie transposed, [keys, queries]: each step of the
// softmax then runs along queries, which lie side by side, and the products need no transposition:
// scores are K Q^T, the output is the sum over keys of outer products v p^T.
#include <algorithm>
#include <cmath>
#include <limits>
#include <omp.h>

#include "kernels/attention_checks.h"
#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/philox_lanes.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/vector_math.h"

namespace cardiograd {
namespace {

constexpr std::int64_t tile_queries = 48;  // whole vectors of every instruction set
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

struct Shape {
  std::int64_t records = 0;
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t width = 0;  // of all heads
  std::int64_t heads = 1;
  std::int64_t head = 0;  // the columns of one

  // First element of a head in [N, length, width].
  std::int64_t at(std::int64_t n, std::int64_t length, std::int64_t h) const {
    return n * length * width + h * head;
  }
};

Shape attention_shape(const AttentionSpec& spec, const AttentionMasks& masks, const ConstView& q,
                      const ConstView& k, const ConstView& v, const ConstView& lse) {
  check_attention(spec, masks, q, k, v, lse);
  return {q.dims[0], q.dims[1], k.dims[1], q.dims[2], spec.heads, q.dims[2] / spec.heads};
}

// ---- Steps of a tile: rows of `wide` queries, a row a key ---------------------------------------

// Exponentials of the scores, shifted by each query's largest. lse: their sum's logarithm, -inf
// where no key is seen; inverse: one over that sum, or 0.
CARDIOGRAD_CLONES
void exponentiate(std::int64_t keys, std::int64_t wide, float* __restrict s, float* __restrict lse,
                  float* __restrict inverse) {
  float largest[tile_queries];
  float total[tile_queries];
  std::fill_n(largest, wide, minus_infinity);
  std::fill_n(total, wide, 0.0F);
  for (std::int64_t key = 0; key < keys; ++key) {
    const float* row = s + key * wide;
    for (std::int64_t i = 0; i < wide; ++i) largest[i] = row[i] > largest[i] ? row[i] : largest[i];
  }
  for (std::int64_t i = 0; i < wide; ++i) {
    largest[i] = largest[i] == minus_infinity ? 0.0F : largest[i];
  }
  for (std::int64_t key = 0; key < keys; ++key) {
    float* row = s + key * wide;
    for (std::int64_t i = 0; i < wide; ++i) {
      const float e = vector_math::exp(row[i] - largest[i]);
      row[i] = e;
      total[i] += e;
    }
  }
  for (std::int64_t i = 0; i < wide; ++i) {
    inverse[i] = total[i] == 0.0F ? 0.0F : 1.0F / total[i];
    lse[i] = total[i] == 0.0F ? minus_infinity : largest[i] + std::log(total[i]);
  }
}

// Scores become probabilities p, times the dropout factors f; their gradients g become those of the
// scores, p (f g - delta). One row of factors serves all keys where factor_stride is 0.
CARDIOGRAD_CLONES
void score_gradients(std::int64_t keys, std::int64_t wide, const float* __restrict lse,
                     const float* __restrict delta, const float* __restrict factors,
                     std::int64_t factor_stride, float* __restrict s, float* __restrict g) {
  for (std::int64_t key = 0; key < keys; ++key) {
    const float* f = factors + key * factor_stride;
    float* p_row = s + key * wide;
    float* g_row = g + key * wide;
    for (std::int64_t i = 0; i < wide; ++i) {
      const float p = vector_math::exp(p_row[i] - lse[i]);
      p_row[i] = p * f[i];
      g_row[i] = p * (f[i] * g_row[i] - delta[i]);
    }
  }
}

CARDIOGRAD_CLONES
void multiply_in_place(std::int64_t count, const float* __restrict factors, float* __restrict x) {
  for (std::int64_t i = 0; i < count; ++i) x[i] *= factors[i];
}

CARDIOGRAD_CLONES
void add_in_place(std::int64_t count, const float* __restrict x, float* __restrict sum) {
  for (std::int64_t i = 0; i < count; ++i) sum[i] += x[i];
}

// The draws of one tile.
struct Draws {
  RandomKey key;
  std::uint32_t record = 0;
  std::uint32_t first = 0;   // the first query's first block
  std::uint32_t blocks = 0;  // a query
  std::uint32_t threshold = 0;
  float kept = 1.0F;  // factor of what is kept
};

// factors[key, query] = kept or 0. Lanes are queries, so that four keys' rows come of one call.
CARDIOGRAD_CLONES
void draw_factors(const Draws& draws, std::int64_t keys, std::int64_t wide,
                  float* __restrict factors) {
  const auto seed0 = static_cast<std::uint32_t>(draws.key.seed);
  const auto seed1 = static_cast<std::uint32_t>(draws.key.seed >> 32);
  std::uint32_t words[4][tile_queries];
  for (std::int64_t key = 0; key < keys; key += 4) {
    const std::uint32_t block = draws.first + static_cast<std::uint32_t>(key / 4);
#pragma omp simd
    for (std::int64_t i = 0; i < wide; ++i) {
      std::uint32_t c0 = block + static_cast<std::uint32_t>(i) * draws.blocks;
      std::uint32_t c1 = draws.record;
      std::uint32_t c2 = draws.key.epoch;
      std::uint32_t c3 = draws.key.operation;
      philox_rounds(c0, c1, c2, c3, seed0, seed1);
      words[0][i] = c0;
      words[1][i] = c1;
      words[2][i] = c2;
      words[3][i] = c3;
    }
    for (std::int64_t row = 0; row < std::min<std::int64_t>(4, keys - key); ++row) {
      float* out = factors + (key + row) * wide;
      for (std::int64_t i = 0; i < wide; ++i) {
        out[i] = (words[row][i] >> 8) >= draws.threshold ? draws.kept : 0.0F;
      }
    }
  }
}

// ---- One head of one record ---------------------------------------------------------------------

struct Operands {
  Shape shape;
  AttentionSpec spec;
  const std::uint8_t* padding = nullptr;
  const float* additive = nullptr;
  const std::int32_t* records = nullptr;
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
};

// Queries first .. first + count - 1, in rows of `wide`; they see keys 0 .. keys - 1 at most.
struct Tile {
  std::int64_t first = 0;
  std::int64_t count = 0;
  std::int64_t wide = 0;
  std::int64_t keys = 0;
};

class Head {
 public:
  Head(const Operands& operands, std::int64_t item)
      : o_(operands),
        s_(operands.shape),
        n_(item / operands.shape.heads),
        h_(item % operands.shape.heads) {}

  // Floats that forward and backward need.
  static std::int64_t scratch(const Shape& shape, bool backward) {
    const std::int64_t scores = shape.keys * tile_queries;
    const std::int64_t columns = padded(shape.head);
    const std::int64_t common = 2 * scores + 2 * shape.head * tile_queries + 2 * tile_queries;
    return common + (backward ? scores + tile_queries * columns + 3 * shape.keys * columns : 0);
  }

  void forward(float* scratch, float* y, float* lse) const {
    Part part(scratch);
    float* s = part(s_.keys * tile_queries);
    float* factors = part(s_.keys * tile_queries);
    float* panels = part(s_.head * tile_queries);
    float* out = part(s_.head * tile_queries);
    float* inverse = part(tile_queries);
    float* sums = part(tile_queries);
    float* y_head = y + s_.at(n_, s_.queries, h_);
    for (std::int64_t first = 0; first < s_.queries; first += tile_queries) {
      const Tile tile = tile_at(first);
      scores(tile, panels, s);
      exponentiate(tile.keys, tile.wide, s, sums, inverse);
      std::copy_n(sums, tile.count, lse + (n_ * s_.heads + h_) * s_.queries + first);
      if (o_.spec.dropout > 0.0) {
        draw(tile, factors);
        multiply_in_place(tile.keys * tile.wide, factors, s);
      }
      std::fill_n(out, s_.head * tile.wide, 0.0F);
      simd_.accumulate_outer(o_.v + s_.at(n_, s_.keys, h_), s_.width, s_.head, s, tile.wide,
                             tile.wide, tile.keys, out, tile.wide);
      write_transposed(tile, out, inverse, y_head);
    }
  }

  struct Gradients {
    const float* y;
    const float* lse;
    const float* dy;
    float* dq;
    float* dk;
    float* dv;
  };

  void backward(float* scratch, const Gradients& d) const {
    const std::int64_t columns = padded(s_.head);
    Part part(scratch);
    float* s = part(s_.keys * tile_queries);
    float* g = part(s_.keys * tile_queries);
    float* factors = part(s_.keys * tile_queries);
    float* panels = part(s_.head * tile_queries);
    float* out = part(s_.head * tile_queries);
    float* sums = part(tile_queries);
    float* delta = part(tile_queries);
    float* rows = part(tile_queries * columns);
    float* product = part(s_.keys * columns);
    float* dk = part(s_.keys * columns);
    float* dv = part(s_.keys * columns);
    std::fill_n(dk, s_.keys * columns, 0.0F);
    std::fill_n(dv, s_.keys * columns, 0.0F);
    const std::int64_t head_q = s_.at(n_, s_.queries, h_);
    const std::int64_t head_k = s_.at(n_, s_.keys, h_);
    for (std::int64_t first = 0; first < s_.queries; first += tile_queries) {
      const Tile tile = tile_at(first);
      const std::int64_t at = head_q + first * s_.width;
      scores(tile, panels, s);
      pack_queries(tile, d.dy + at, panels);
      multiply_keys(tile, o_.v + head_k, panels, g);
      row_statistics(tile, d, at, sums, delta);
      const bool dropped = o_.spec.dropout > 0.0;
      if (dropped) {
        draw(tile, factors);
      } else {
        std::fill_n(factors, tile.wide, 1.0F);
      }
      score_gradients(tile.keys, tile.wide, sums, delta, factors, dropped ? tile.wide : 0, s, g);
      // One key's probability is 1 whatever its score: rounding must not tell otherwise.
      if (s_.keys == 1) std::fill_n(g, tile.wide, 0.0F);
      add_key_gradient(tile, s, d.dy + at, rows, product, dv);
      add_key_gradient(tile, g, o_.q + at, rows, product, dk);
      std::fill_n(out, s_.head * tile.wide, 0.0F);
      simd_.accumulate_outer(o_.k + head_k, s_.width, s_.head, g, tile.wide, tile.wide, tile.keys,
                             out, tile.wide);
      std::fill_n(sums, tile.wide, scale_);
      write_transposed(tile, out, sums, d.dq + head_q);
    }
    write_rows(dk, columns, scale_, d.dk + head_k);
    write_rows(dv, columns, 1.0F, d.dv + head_k);
  }

 private:
  // Hands out a scratch block piece by piece.
  class Part {
   public:
    explicit Part(float* data) : data_(data) {}
    float* operator()(std::int64_t count) {
      float* part = data_;
      data_ += count;
      return part;
    }

   private:
    float* data_;
  };

  static std::int64_t padded(std::int64_t count) {
    const std::int64_t lanes = simd_kernels().lanes;
    return (count + lanes - 1) / lanes * lanes;
  }

  Tile tile_at(std::int64_t first) const {
    const std::int64_t count = std::min(tile_queries, s_.queries - first);
    const std::int64_t keys = o_.spec.causal ? std::min(s_.keys, first + count) : s_.keys;
    return {first, count, padded(count), keys};
  }

  // panels = the tile's rows of x, as a matrix [head, queries].
  void pack_queries(const Tile& tile, const float* x, float* panels) const {
    simd_.pack_panels({x, 1, 0, s_.head, 1, tile.count, s_.width}, panels);
  }

  // c[key, query] = rows of x (keys or values) times panels.
  void multiply_keys(const Tile& tile, const float* x, const float* panels, float* c) const {
    simd_.multiply_windows({x, tile.keys, s_.width, 1, 0, s_.head}, panels, tile.count, nullptr, c,
                           tile.wide);
  }

  void scores(const Tile& tile, float* panels, float* s) const {
    pack_queries(tile, o_.q + s_.at(n_, s_.queries, h_) + tile.first * s_.width, panels);
    for (std::int64_t i = 0; i < s_.head * tile.wide; ++i) panels[i] *= scale_;
    multiply_keys(tile, o_.k + s_.at(n_, s_.keys, h_), panels, s);
    if (o_.additive) {
      for (std::int64_t key = 0; key < tile.keys; ++key) {
        for (std::int64_t i = 0; i < tile.count; ++i) {
          s[key * tile.wide + i] += o_.additive[(tile.first + i) * s_.keys + key];
        }
      }
    }
    for (std::int64_t key = 0; o_.padding && key < tile.keys; ++key) {
      if (o_.padding[n_ * s_.keys + key]) {
        std::fill_n(s + key * tile.wide, tile.wide, minus_infinity);
      }
    }
    for (std::int64_t key = tile.first + 1; o_.spec.causal && key < tile.keys; ++key) {
      std::fill_n(s + key * tile.wide, key - tile.first, minus_infinity);
    }
  }

  void draw(const Tile& tile, float* factors) const {
    const double p = o_.spec.dropout;
    const auto blocks = static_cast<std::uint32_t>((s_.keys + 3) / 4);
    const auto query = static_cast<std::uint32_t>(h_ * s_.queries + tile.first);
    const auto record = static_cast<std::uint32_t>(o_.records ? o_.records[n_] : n_);
    draw_factors({o_.spec.key, record, query * blocks, blocks,
                  static_cast<std::uint32_t>(std::ceil(p * 0x1p24)),
                  p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0F},
                 tile.keys, tile.wide, factors);
  }

  // Each query's lse, where it is finite, and delta = the sum of dy y, which is the mean of its
  // probabilities' gradients; `at` is the tile's first element in y.
  void row_statistics(const Tile& tile, const Gradients& d, std::int64_t at, float* lse,
                      float* delta) const {
    const float* saved = d.lse + (n_ * s_.heads + h_) * s_.queries + tile.first;
    std::fill_n(lse, tile.wide, 0.0F);
    std::fill_n(delta, tile.wide, 0.0F);
    for (std::int64_t i = 0; i < tile.count; ++i) {
      if (saved[i] != minus_infinity) lse[i] = saved[i];
      for (std::int64_t c = 0; c < s_.head; ++c) {
        delta[i] += d.dy[at + i * s_.width + c] * d.y[at + i * s_.width + c];
      }
    }
  }

  // sum[key, column] += sum over the tile's queries of g[key, query] x[query, column].
  void add_key_gradient(const Tile& tile, const float* g, const float* x, float* rows,
                        float* product, float* sum) const {
    const std::int64_t columns = padded(s_.head);
    simd_.pack_panels({x, 1, 0, tile.count, s_.width, s_.head, 1}, rows);
    simd_.multiply_windows({g, tile.keys, tile.wide, 1, 0, tile.count}, rows, s_.head, nullptr,
                           product, columns);
    add_in_place(tile.keys * columns, product, sum);
  }

  // y[query, column] = x[column, query] * factor[query].
  void write_transposed(const Tile& tile, const float* x, const float* factor, float* y) const {
    for (std::int64_t i = 0; i < tile.count; ++i) {
      float* row = y + (tile.first + i) * s_.width;
      for (std::int64_t c = 0; c < s_.head; ++c) row[c] = x[c * tile.wide + i] * factor[i];
    }
  }

  void write_rows(const float* x, std::int64_t columns, float factor, float* y) const {
    for (std::int64_t key = 0; key < s_.keys; ++key) {
      for (std::int64_t c = 0; c < s_.head; ++c) {
        y[key * s_.width + c] = x[key * columns + c] * factor;
      }
    }
  }

  const Operands& o_;
  const Shape& s_;
  std::int64_t n_;
  std::int64_t h_;
  const SimdKernels& simd_ = simd_kernels();
  float scale_ = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s_.head)));
};

Operands operands_of(const Shape& shape, const AttentionSpec& spec, const AttentionMasks& masks,
                     const ConstView& q, const ConstView& k, const ConstView& v) {
  return {shape,
          spec,
          masks.padding.present() ? masks.padding.as<std::uint8_t>() : nullptr,
          floats(masks.additive),
          masks.records.present() ? masks.records.as<std::int32_t>() : nullptr,
          floats(q),
          floats(k),
          floats(v)};
}

// body(item, scratch) for every head of every record.
template <class Body>
void for_each_head(BlockCache& blocks, const Shape& shape, bool backward, const Body& body) {
  const std::int64_t floats_each = Head::scratch(shape, backward);
  const Scratch<float> scratch(blocks, omp_get_max_threads() * floats_each);
  const std::int64_t work = (shape.queries + 1) * (shape.keys + 1) * (1 + shape.head / 8);
  parallel_rows(shape.records * shape.heads, work, [&](std::int64_t begin, std::int64_t end) {
    float* mine = scratch.data() + omp_get_thread_num() * floats_each;
    for (std::int64_t item = begin; item < end; ++item) body(item, mine);
  });
}

}  // namespace

void CpuBackend::attention_forward(const AttentionSpec& spec, const AttentionMasks& masks,
                                   ConstView q, ConstView k, ConstView v, View y, View lse) {
  require_f32("attention", {q, k, v, y, lse, masks.additive});
  const Shape shape = attention_shape(spec, masks, q, k, v, lse);
  require_same_shape("attention", q.dims, y.dims);
  const Operands operands = operands_of(shape, spec, masks, q, k, v);
  for_each_head(*blocks_, shape, false, [&](std::int64_t item, float* scratch) {
    Head(operands, item).forward(scratch, floats(y), floats(lse));
  });
}

void CpuBackend::attention_backward(const AttentionSpec& spec, const AttentionMasks& masks,
                                    ConstView q, ConstView k, ConstView v, ConstView y,
                                    ConstView lse, ConstView dy, View dq, View dk, View dv) {
  require_f32("attention", {q, k, v, y, lse, dy, dq, dk, dv, masks.additive});
  const Shape shape = attention_shape(spec, masks, q, k, v, lse);
  for (const ConstView& view : {y, dy, ConstView(dq)}) {
    require_same_shape("attention", q.dims, view.dims);
  }
  for (const ConstView& view : {ConstView(dk), ConstView(dv)}) {
    require_same_shape("attention", k.dims, view.dims);
  }
  const Operands operands = operands_of(shape, spec, masks, q, k, v);
  const Head::Gradients gradients{floats(y),  floats(lse), floats(dy),
                                  floats(dq), floats(dk),  floats(dv)};
  for_each_head(*blocks_, shape, true, [&](std::int64_t item, float* scratch) {
    Head(operands, item).backward(scratch, gradients);
  });
}

}  // namespace cardiograd
