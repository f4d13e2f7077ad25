// The tile loop of bf16 products on tensor cores: mma.sync m16n8k16, three tiles of the depth in
// shared memory, two of them on their way by cp.async while the third is multiplied.
//
// A block of four warps computes 64 or 128 rows by 64 columns, a warp half of each. Operands come
// as blocks of 64 by 64 elements, rows of 128 bytes as they lie in memory, whichever way round the
// product wants them: ldmatrix transposes. The eight packs of a row are exchanged by its number
// modulo 8, so that the eight rows of an 8 x 8 matrix lie on different banks, and so do the packs
// of a row that cp.async writes.
#pragma once

#include "kernels/cuda/grid.h"
#include "kernels/cuda/relu_pool.h"
#include "kernels/cuda/tensor_product.h"

namespace cardiograd::cuda {

inline constexpr int tensor_threads = 128;
inline constexpr int tensor_side = 64;    // of a block of an operand, and a tile's columns
inline constexpr int tensor_stages = 3;   // tiles of the depth in shared memory
inline constexpr int tensor_pitch = 72;   // floats of a row of results: fragments on all banks
inline constexpr int tensor_element = 8;  // elements of a 16-byte pack
inline constexpr int block_elements = tensor_side * tensor_side;
inline constexpr int rows_a_pass = tensor_threads * tensor_element / tensor_side;
inline constexpr int passes = tensor_side / rows_a_pass;

// TensorMatrix with what fits 32 bits in 32.
struct TensorSource {
  const BFloat16* data = nullptr;
  std::int64_t record_jump = 0;
  int rows = 0;
  int columns = 0;
  int steps = 1;
  int first = 0;
  int row_jump = 0;
  int run = 0;
  int run_jump = 0;
  int record_size = 0;
  int unit = 1;  // elements of an aligned access: 8, 4 or 1

  // The place of a column within its row.
  CG_DEVICE int position(int column) const {
    return run >= columns ? column : column / run * run_jump + column % run;
  }
};

// A row that a thread copies packs of; record is -1 beyond the last row.
struct TensorRow {
  int record;
  int place;
};

CG_DEVICE TensorRow tensor_row(const TensorSource& source, int row) {
  if (row >= source.rows) return {-1, 0};
  const int record = source.steps == 1 ? row : row / source.steps;
  const int step = row - record * source.steps;
  return {record, source.first + step * source.row_jump};
}

CG_DEVICE int swizzled(int row, int pack) {
  return row * tensor_side + (pack ^ (row % 8)) * tensor_element;
}

// A pack that is not wholly there, or not aligned: four elements or one at a time.
CG_DEVICE void copy_part(const TensorSource& source, const TensorRow& row, int column,
                         BFloat16* to) {
  store_pack(to, Pack<BFloat16, tensor_element>{});
  if (row.record < 0) return;
  const BFloat16* from = source.data + row.record * source.record_jump;
  const int left = source.columns - column;
  const int valid = left < tensor_element ? left : tensor_element;
  for (int j = 0; j < valid;) {
    const int place = row.place + source.position(column + j);
    if (source.unit >= 4 && j % 4 == 0 && j + 4 <= valid && place >= 0 &&
        place + 4 <= source.record_size) {
      store_pack(to + j, load_pack<4>(from + place));
      j += 4;
      continue;
    }
    if (place >= 0 && place < source.record_size) to[j] = from[place];
    ++j;
  }
}

// This thread's packs of a block of 64 x 64 from `row0`, all at one column.
CG_DEVICE void copy_block(const TensorSource& source, const TensorRow (&rows)[passes], int row0,
                          int column, BFloat16* block) {
  const int first = static_cast<int>(threadIdx.x) / (tensor_side / tensor_element);
  const int pack = static_cast<int>(threadIdx.x) % (tensor_side / tensor_element);
  const int position = source.position(column);
  const bool whole = source.unit == tensor_element && column + tensor_element <= source.columns;
  unsigned missed = 0;
  CG_UNROLL
  for (int i = 0; i < passes; ++i) {
    const int place = rows[i].place + position;
    if (whole && rows[i].record >= 0 && place >= 0 &&
        place + tensor_element <= source.record_size) {
      copy_async_16(block + swizzled(first + i * rows_a_pass, pack),
                    source.data + rows[i].record * source.record_jump + place);
    } else {
      missed |= 1U << i;
    }
  }
  for (int row = first; missed != 0; row += rows_a_pass, missed >>= 1) {
    if (missed % 2 != 0) {
      copy_part(source, tensor_row(source, row0 + row), column, block + swizzled(row, pack));
    }
  }
}

// How an operand comes to shared memory: `blocks` blocks of 64 lines by 64 of the depth. Lines that
// are rows are worked out once a tile, depth that is rows once a stage.
template <bool along_depth, int blocks>
struct TensorLoader {
  const TensorSource& source;
  int line0;
  TensorRow rows[along_depth ? blocks : 1][passes];

  CG_DEVICE TensorLoader(const TensorSource& source_, int line) : source(source_), line0(line) {
    if constexpr (along_depth) {
      CG_UNROLL
      for (int block = 0; block < blocks; ++block) find(line0 + block * tensor_side, rows[block]);
    }
  }

  CG_DEVICE void find(int row0, TensorRow (&found)[passes]) const {
    const int row = row0 + static_cast<int>(threadIdx.x) / (tensor_side / tensor_element);
    CG_UNROLL
    for (int i = 0; i < passes; ++i) found[i] = tensor_row(source, row + i * rows_a_pass);
  }

  CG_DEVICE void load(int depth0, BFloat16* shared) {
    const int pack = static_cast<int>(threadIdx.x) % (tensor_side / tensor_element);
    if constexpr (!along_depth) find(depth0, rows[0]);
    CG_UNROLL
    for (int block = 0; block < blocks; ++block) {
      const int line = line0 + block * tensor_side;
      if constexpr (along_depth) {
        copy_block(source, rows[block], line, depth0 + pack * tensor_element,
                   shared + block * block_elements);
      } else {
        copy_block(source, rows[0], depth0, line + pack * tensor_element,
                   shared + block * block_elements);
      }
    }
  }
};

// Four 8 x 8 matrices of an operand, of which this lane's group of eight addresses the one that
// begins at `line` and depth k of the stage; in registers, lines are the fragment's rows.
template <bool along_depth>
CG_DEVICE void load_fragment(std::uint32_t (&r)[4], const BFloat16* shared, int line, int k) {
  const BFloat16* block = shared + line / tensor_side * block_elements;
  const int eighth = lane_of() % 8;
  if constexpr (along_depth) {
    load_matrix_x4(r, block + swizzled(line % tensor_side + eighth, k / tensor_element));
  } else {
    load_matrix_x4_transposed(r, block + swizzled(k + eighth, line % tensor_side / tensor_element));
  }
}

// A warp's results: `tall` by 4 fragments of 16 x 8.
template <int tall>
struct TensorSums {
  float of[tall][4][4];
};

template <bool a_along_depth, bool b_along_depth, int tall>
CG_DEVICE void multiply_stage(const BFloat16* a, const BFloat16* b, TensorSums<tall>& sums) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int matrix = lane_of() / 8;
  const int odd = matrix % 2 * 8;
  const int upper = matrix / 2 * 8;
  CG_UNROLL
  for (int k = 0; k < tensor_side; k += 16) {
    std::uint32_t right[2][4];
    CG_UNROLL
    for (int n = 0; n < 2; ++n) {
      load_fragment<b_along_depth>(right[n], b, warp % 2 * 32 + n * 16 + upper, k + odd);
    }
    std::uint32_t left[tall][4];
    CG_UNROLL
    for (int m = 0; m < tall; ++m) {
      load_fragment<a_along_depth>(left[m], a, (warp / 2 * tall + m) * 16 + odd, k + upper);
    }
    CG_UNROLL
    for (int m = 0; m < tall; ++m) {
      CG_UNROLL
      for (int n = 0; n < 4; ++n) {
        const std::uint32_t column[2] = {right[n / 2][n % 2 * 2], right[n / 2][n % 2 * 2 + 1]};
        mma_bf16(sums.of[m][n], left[m], column);
      }
    }
  }
}

// A tile's results, in f32 and row by row, to shared memory.
template <int tall>
CG_DEVICE void spread_sums(const TensorSums<tall>& sums, float* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp / 2 * tall * 16 + lane_of() / 4;
  const int column = warp % 2 * 32 + lane_of() % 4 * 2;
  CG_UNROLL
  for (int m = 0; m < tall; ++m) {
    CG_UNROLL
    for (int n = 0; n < 4; ++n) {
      const float* four = sums.of[m][n];
      float* to = shared + (row + m * 16) * tensor_pitch + column + n * 8;
      store_pack(to, Pack<float, 2>{{four[0], four[1]}});
      store_pack(to + 8 * tensor_pitch, Pack<float, 2>{{four[2], four[3]}});
    }
  }
}

// shared = the tile of a b at (row0, column0), summed over the depth [begin, end); `begin` is a
// multiple of 64. Every thread of the block must call it.
template <bool a_along_depth, bool b_along_depth, int down>
CG_DEVICE void tensor_tile(const TensorSource& a, const TensorSource& b, int row0, int column0,
                           int begin, int end, BFloat16* shared) {
  constexpr int a_blocks = down / tensor_side;
  constexpr int stage_elements = (a_blocks + 1) * block_elements;
  TensorLoader<a_along_depth, a_blocks> left(a, row0);
  TensorLoader<b_along_depth, 1> right(b, column0);
  const int turns = (end - begin + tensor_side - 1) / tensor_side;
  const auto load = [&](int turn) {
    if (turn < turns) {
      BFloat16* stage = shared + turn % tensor_stages * stage_elements;
      left.load(begin + turn * tensor_side, stage);
      right.load(begin + turn * tensor_side, stage + a_blocks * block_elements);
    }
    commit_async();
  };
  TensorSums<down / 32> sums{};
  // Negative turns begin the pipeline: one place in the code loads, because that is much code.
  for (int turn = 1 - tensor_stages; turn < turns; ++turn) {
    if (turn >= 0) {
      wait_async<tensor_stages - 2>();
      sync_block();  // this stage is there, and the one that is loaded next has been read
    }
    load(turn + tensor_stages - 1);
    if (turn < 0) continue;
    const BFloat16* stage = shared + turn % tensor_stages * stage_elements;
    multiply_stage<a_along_depth, b_along_depth>(stage, stage + a_blocks * block_elements, sums);
  }
  wait_async<0>();
  sync_block();  // all stages have been read: the results take their place
  auto* results = reinterpret_cast<float*>(shared);
  spread_sums(sums, results);
  sync_block();
}

// ---- What becomes of a tile ---------------------------------------------------------------------

// Where a tile of results lies in the whole, and how much of it is there.
struct TensorPlace {
  int row0 = 0;
  int column0 = 0;
  int rows = 0;     // of this tile
  int columns = 0;  // of the whole result
  bool packed = false;
};

// The first `valid` of eight neighbours. packed: all of them, in accesses of 16 bytes.
template <class Out>
CG_DEVICE void write_eight(Out* to, const float (&values)[tensor_element], int valid, bool packed) {
  constexpr int n = pack_size<Out>;
  CG_UNROLL
  for (int i = 0; i < tensor_element; i += n) {
    Pack<Out, n> pack;
    CG_UNROLL
    for (int j = 0; j < n; ++j) pack[j] = from_float<Out>(values[i + j]);
    if (packed) {
      store_pack(to + i, pack);
    } else {
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        if (i + j < valid) to[i + j] = pack[j];
      }
    }
  }
}

CG_DEVICE void write_tile(const TensorRows& to, const TensorPlace& place, const float* tile) {
  constexpr int packs = tensor_side / tensor_element;
  const int column = static_cast<int>(threadIdx.x) % packs * tensor_element;
  const int valid = place.columns - place.column0 - column;
  if (valid <= 0) return;
  float bias[tensor_element] = {};
  CG_UNROLL
  for (int j = 0; j < tensor_element; ++j) {
    if (j >= valid) continue;
    if (to.bias != nullptr) bias[j] = to_float(to.bias[place.column0 + column + j]);
    if (to.more_bias != nullptr) bias[j] += to_float(to.more_bias[place.column0 + column + j]);
  }
  for (int i = static_cast<int>(threadIdx.x) / packs; i < place.rows; i += tensor_threads / packs) {
    std::int64_t row = place.row0 + i;
    if (!to.contiguous()) {
      row = row / to.steps * to.record_rows + to.first + row % to.steps * to.stride;
    }
    const std::int64_t at = row * place.columns + place.column0 + column;
    float values[tensor_element];
    CG_UNROLL
    for (int j = 0; j < tensor_element; j += 4) {
      const Pack<float, 4> four = load_pack<4>(tile + i * tensor_pitch + column + j);
      CG_UNROLL
      for (int k = 0; k < 4; ++k) values[j + k] = four[k] + bias[j + k];
    }
    if (to.y != nullptr) {
      write_eight(to.y + at, values, valid, place.packed);
    } else {
      write_eight(to.sums + at, values, valid, place.packed);
    }
  }
}

// A thread a window of one channel.
CG_DEVICE void write_tile(const TensorPool& to, const TensorPlace& place, const float* tile) {
  const int channel = static_cast<int>(threadIdx.x) % tensor_side;
  const int column = place.column0 + channel;
  if (column >= place.columns) return;
  const float bias = to.bias != nullptr ? to_float(to.bias[column]) : 0.0F;
  constexpr int lanes = tensor_threads / tensor_side;
  for (int i = static_cast<int>(threadIdx.x) / tensor_side; i < place.rows / to.pool; i += lanes) {
    std::uint8_t winner = 0;
    const float best =
        relu_pool(tile + i * to.pool * tensor_pitch + channel, tensor_pitch, to.pool, bias, winner);
    const std::int64_t at =
        (static_cast<std::int64_t>(place.row0) / to.pool + i) * place.columns + column;
    to.y[at] = from_float<BFloat16>(best);
    to.winner[at] = winner;
  }
}

}  // namespace cardiograd::cuda
