// The tile loop of products on tensor cores: mma.sync m16n8k16 of bf16 or m16n8k8 of TF32, three
// tiles of the depth in shared memory, two of them on their way by cp.async while the third is
// multiplied.
//
// A block of four warps computes 64 or 128 rows by 64 columns, a warp half of each. Operands come
// as blocks of 64 rows of 128 bytes as they lie in memory, whichever way round the product wants
// them: 64 lines by 64 (f32: 32) of the depth, or 64 of the depth by 64 lines (f32: twice 32 by 32,
// one under the other). Where lines are rows, ldmatrix reads both storages; where the depth is
// rows, it transposes bf16, and f32 is read element by element. The eight packs of a row are
// exchanged by its number, so that what one access reads lies on different banks, and so do the
// packs of a row that cp.async writes.
#pragma once

#include <bit>
#include <type_traits>

#include "kernels/cuda/grid.h"
#include "kernels/cuda/relu_pool.h"
#include "kernels/cuda/tensor_product.h"

namespace cardiograd::cuda {

inline constexpr int tensor_threads = 128;
inline constexpr int tensor_side = 64;        // rows of a block of an operand, a tile's columns
inline constexpr int tensor_stages = 3;       // tiles of the depth in shared memory
inline constexpr int tensor_pitch = 72;       // floats of a row of results: fragments on all banks
inline constexpr int result_pack = 8;         // results that a thread writes together
inline constexpr int tensor_row_bytes = 128;  // of a block
inline constexpr int packs_a_row = tensor_row_bytes / 16;
inline constexpr int rows_a_pass = tensor_threads / packs_a_row;
inline constexpr int passes = tensor_side / rows_a_pass;

template <class T>
inline constexpr bool is_tf32 = std::is_same_v<T, float>;
template <class T>
inline constexpr int tensor_pack = 16 / static_cast<int>(sizeof(T));
template <class T>
inline constexpr int stage_depth = packs_a_row* tensor_pack<T>;
template <class T>
inline constexpr int block_elements = tensor_side* stage_depth<T>;

// TensorMatrix with what fits 32 bits in 32.
template <class T>
struct TensorSource {
  const T* data = nullptr;
  std::int64_t record_jump = 0;
  int rows = 0;
  int columns = 0;
  int steps = 1;
  int first = 0;
  int row_jump = 0;
  int run = 0;
  int run_jump = 0;
  int record_size = 0;
  int unit = 1;  // elements of an aligned access: of 16 bytes, of 8, or 1

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

template <class T>
CG_DEVICE TensorRow tensor_row(const TensorSource<T>& source, int row) {
  if (row >= source.rows) return {-1, 0};
  const int record = source.steps == 1 ? row : row / source.steps;
  const int step = row - record * source.steps;
  return {record, source.first + step * source.row_jump};
}

// Where a pack lies in a block. ldmatrix reads one pack of eight rows; where it cannot, the threads
// of a warp read two packs of four rows.
template <class T, bool along_depth>
CG_DEVICE int swizzled(int row, int pack) {
  const int exchange = is_tf32<T> && !along_depth ? row % 4 * 2 : row % 8;
  return (row * packs_a_row + (pack ^ exchange)) * tensor_pack<T>;
}

// A pack that is not wholly there, or not aligned: 8 bytes or one element at a time.
template <class T>
CG_DEVICE void copy_part(const TensorSource<T>& source, const TensorRow& row, int column, T* to) {
  constexpr int half = tensor_pack<T> / 2;
  store_pack(to, Pack<T, tensor_pack<T>>{});
  if (row.record < 0) return;
  const T* from = source.data + row.record * source.record_jump;
  const int left = source.columns - column;
  const int valid = left < tensor_pack<T> ? left : tensor_pack<T>;
  for (int j = 0; j < valid;) {
    const int place = row.place + source.position(column + j);
    if (source.unit >= half && j % half == 0 && j + half <= valid && place >= 0 &&
        place + half <= source.record_size) {
      store_pack(to + j, load_pack<half>(from + place));
      j += half;
      continue;
    }
    if (place >= 0 && place < source.record_size) to[j] = from[place];
    ++j;
  }
}

// This thread's packs of a block that begins at `row0` and `column`; rows has those of its rows
// that differ, the others go on to the right of them.
template <bool along_depth, int rows_there, class T>
CG_DEVICE void copy_block(const TensorSource<T>& source, const TensorRow (&rows)[rows_there],
                          int row0, int column, T* block) {
  const int first = static_cast<int>(threadIdx.x) / packs_a_row;
  const int pack = static_cast<int>(threadIdx.x) % packs_a_row;
  column += pack * tensor_pack<T>;
  unsigned missed = 0;
  CG_UNROLL
  for (int part = 0; part < passes / rows_there; ++part) {
    const int from = column + part * stage_depth<T>;
    const int position = source.position(from);
    const bool whole = source.unit == tensor_pack<T> && from + tensor_pack<T> <= source.columns;
    CG_UNROLL
    for (int i = 0; i < rows_there; ++i) {
      const int pass = part * rows_there + i;
      const int place = rows[i].place + position;
      if (whole && rows[i].record >= 0 && place >= 0 &&
          place + tensor_pack<T> <= source.record_size) {
        copy_async_16(block + swizzled<T, along_depth>(first + pass * rows_a_pass, pack),
                      source.data + rows[i].record * source.record_jump + place);
      } else {
        missed |= 1U << pass;
      }
    }
  }
  for (int pass = 0; missed != 0; ++pass, missed >>= 1) {
    if (missed % 2 != 0) {
      const int row = row0 + first + pass % rows_there * rows_a_pass;
      copy_part(source, tensor_row(source, row), column + pass / rows_there * stage_depth<T>,
                block + swizzled<T, along_depth>(first + pass * rows_a_pass, pack));
    }
  }
}

// How an operand comes to shared memory: `blocks` blocks of 64 lines by a stage's depth. Lines that
// are rows are worked out once a tile, depth that is rows once a stage.
template <class T, bool along_depth, int blocks>
struct TensorLoader {
  static constexpr int rows_there =
      along_depth ? passes : passes * stage_depth<T> / tensor_side;  // of a block, a thread's
  const TensorSource<T>& source;
  int line0;
  TensorRow rows[along_depth ? blocks : 1][rows_there];

  CG_DEVICE TensorLoader(const TensorSource<T>& source_, int line) : source(source_), line0(line) {
    if constexpr (along_depth) {
      CG_UNROLL
      for (int block = 0; block < blocks; ++block) find(line0 + block * tensor_side, rows[block]);
    }
  }

  CG_DEVICE void find(int row0, TensorRow (&found)[rows_there]) const {
    const int row = row0 + static_cast<int>(threadIdx.x) / packs_a_row;
    CG_UNROLL
    for (int i = 0; i < rows_there; ++i) found[i] = tensor_row(source, row + i * rows_a_pass);
  }

  CG_DEVICE void load(int depth0, T* shared) {
    if constexpr (!along_depth) find(depth0, rows[0]);
    CG_UNROLL
    for (int block = 0; block < blocks; ++block) {
      const int line = line0 + block * tensor_side;
      T* to = shared + block * block_elements<T>;
      if constexpr (along_depth) {
        copy_block<along_depth>(source, rows[block], line, depth0, to);
      } else {
        copy_block<along_depth>(source, rows[0], depth0, line, to);
      }
    }
  }
};

// An operand's 16 lines by two packs of the depth, from `line` and depth k of the stage, in
// registers as mma wants them: as four matrices of 8 lines by one pack. lines_first: the second one
// lies at the next lines, else at the next depth.
template <bool along_depth, bool lines_first, class T>
CG_DEVICE void load_fragment(std::uint32_t (&r)[4], const T* shared, int line, int k) {
  const auto line_of = [=](int matrix) {
    return line + (lines_first ? matrix % 2 : matrix / 2) * 8;
  };
  const auto depth_of = [=](int matrix) {
    return k + (lines_first ? matrix / 2 : matrix % 2) * tensor_pack<T>;
  };
  if constexpr (along_depth || !is_tf32<T>) {
    // Each group of eight lanes addresses one matrix.
    const int at = line_of(lane_of() / 8);
    const int depth = depth_of(lane_of() / 8);
    const int eighth = lane_of() % 8;
    const T* block = shared + at / tensor_side * block_elements<T>;
    if constexpr (along_depth) {
      load_matrix_x4(r,
                     block + swizzled<T, true>(at % tensor_side + eighth, depth / tensor_pack<T>));
    } else {
      load_matrix_x4_transposed(
          r, block + swizzled<T, false>(depth + eighth, at % tensor_side / tensor_pack<T>));
    }
  } else {
    CG_UNROLL
    for (int matrix = 0; matrix < 4; ++matrix) {
      const int at = line_of(matrix) + lane_of() / 4;
      const int part = at / stage_depth<T>;  // 32 lines of a block of 64
      const int row = part * stage_depth<T> + depth_of(matrix) + lane_of() % 4;
      const int column = at % stage_depth<T>;
      r[matrix] = std::bit_cast<std::uint32_t>(
          shared[swizzled<T, false>(row, column / tensor_pack<T>) + column % tensor_pack<T>]);
    }
  }
  if constexpr (is_tf32<T>) {
    CG_UNROLL
    for (int matrix = 0; matrix < 4; ++matrix)
      r[matrix] = tf32_bits(std::bit_cast<float>(r[matrix]));
  }
}

// A warp's results: `tall` by 4 fragments of 16 x 8.
template <int tall>
struct TensorSums {
  float of[tall][4][4];
};

template <bool a_along_depth, bool b_along_depth, class T, int tall>
CG_DEVICE void multiply_stage(const T* a, const T* b, TensorSums<tall>& sums) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  CG_UNROLL
  for (int k = 0; k < stage_depth<T>; k += 2 * tensor_pack<T>) {
    std::uint32_t right[2][4];
    CG_UNROLL
    for (int n = 0; n < 2; ++n) {
      load_fragment<b_along_depth, false>(right[n], b, warp % 2 * 32 + n * 16, k);
    }
    std::uint32_t left[tall][4];
    CG_UNROLL
    for (int m = 0; m < tall; ++m) {
      load_fragment<a_along_depth, true>(left[m], a, (warp / 2 * tall + m) * 16, k);
    }
    CG_UNROLL
    for (int m = 0; m < tall; ++m) {
      CG_UNROLL
      for (int n = 0; n < 4; ++n) {
        const std::uint32_t column[2] = {right[n / 2][n % 2 * 2], right[n / 2][n % 2 * 2 + 1]};
        if constexpr (is_tf32<T>) {
          mma_tf32(sums.of[m][n], left[m], column);
        } else {
          mma_bf16(sums.of[m][n], left[m], column);
        }
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
// multiple of a stage's. Every thread of the block must call it.
template <bool a_along_depth, bool b_along_depth, int down, class T>
CG_DEVICE void tensor_tile(const TensorSource<T>& a, const TensorSource<T>& b, int row0,
                           int column0, int begin, int end, T* shared) {
  constexpr int a_blocks = down / tensor_side;
  constexpr int stage_elements = (a_blocks + 1) * block_elements<T>;
  TensorLoader<T, a_along_depth, a_blocks> left(a, row0);
  TensorLoader<T, b_along_depth, 1> right(b, column0);
  const int turns = (end - begin + stage_depth<T> - 1) / stage_depth<T>;
  const auto load = [&](int turn) {
    if (turn < turns) {
      T* stage = shared + turn % tensor_stages * stage_elements;
      left.load(begin + turn * stage_depth<T>, stage);
      right.load(begin + turn * stage_depth<T>, stage + a_blocks * block_elements<T>);
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
    const T* stage = shared + turn % tensor_stages * stage_elements;
    multiply_stage<a_along_depth, b_along_depth>(stage, stage + a_blocks * block_elements<T>, sums);
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
CG_DEVICE void write_eight(Out* to, const float (&values)[result_pack], int valid, bool packed) {
  constexpr int n = pack_size<Out>;
  CG_UNROLL
  for (int i = 0; i < result_pack; i += n) {
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

template <class T>
CG_DEVICE void write_tile(const TensorRows<T>& to, const TensorPlace& place, const float* tile) {
  constexpr int packs = tensor_side / result_pack;
  const int column = static_cast<int>(threadIdx.x) % packs * result_pack;
  const int valid = place.columns - place.column0 - column;
  if (valid <= 0) return;
  float bias[result_pack] = {};
  CG_UNROLL
  for (int j = 0; j < result_pack; ++j) {
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
    float values[result_pack];
    CG_UNROLL
    for (int j = 0; j < result_pack; j += 4) {
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
template <class T>
CG_DEVICE void write_tile(const TensorPool<T>& to, const TensorPlace& place, const float* tile) {
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
    to.y[at] = from_float<T>(best);
    to.winner[at] = winner;
  }
}

}  // namespace cardiograd::cuda
