// A convolution's gradient to its weights: dweight[tap, ci, co] = the sum of x[n, t stride -
// padding
// + tap dilation, ci] dy[n, t, co] over all records and steps.
//
// Bytes: x and dy once for each tile of the weights that a block sums (up to 16 input by 32 output
// channels by all taps that 256 threads hold). FLOPs: 2 k Ci / groups an element of dy. Bound: f32
// FMA. The steps are cut into chunks that depend on the shape alone; a chunk's sums go to memory,
// and partials.h adds them in a fixed order.
#pragma once

#include "kernels/cuda/conv1d_tile.h"
#include "kernels/cuda/partials.h"

namespace cardiograd::cuda {

inline constexpr int weight_steps = 64;    // of dy in shared memory at a time
inline constexpr int weight_outputs = 32;  // output channels of a block

// How a launch cuts its work; the same for every block. A thread sums 4 input by 4 output channels
// of one tap, over the steps of its slice: those that are its number modulo `slices`.
struct WeightTiles {
  int ins = 0;   // packs of four input channels a block
  int outs = 0;  // packs of four output channels a block
  int taps = 0;
  int slices = 0;
  bool windowed = true;  // as in ConvTiles
  int rows = 0;          // of x in shared memory
  std::int64_t chunks = 0;
  std::int64_t tiles_a_chunk = 0;

  constexpr int cells() const { return ins * outs * taps; }
};

// sums += x (4 channels) times dy (4 channels) over a slice's steps in shared memory.
CG_DEVICE void multiply_steps(const float* x, int x_jump, const float* dy, int dy_jump, int first,
                              int slices, float (&sums)[4][4]) {
  for (int step = first; step < weight_steps; step += slices) {
    const Pack<float, 4> value = load_pack<4>(x + step * x_jump);
    const Pack<float, 4> gradient = load_pack<4>(dy + step * dy_jump);
    CG_UNROLL
    for (int i = 0; i < 4; ++i) {
      CG_UNROLL
      for (int k = 0; k < 4; ++k) sums[i][k] = math::fma(value[i], gradient[k], sums[i][k]);
    }
  }
}

// The slices' sums, in their order, in the threads of slice 0. Packs of neighbouring cells are
// neighbours in shared memory: no bank is asked twice.
CG_DEVICE void add_slices(int cell, int slice, const WeightTiles& tiles, float* shared,
                          float (&sums)[4][4]) {
  const int cells = tiles.cells();
  sync_block();  // the staged rows have been read
  if (slice > 0 && slice < tiles.slices) {
    CG_UNROLL
    for (int i = 0; i < 4; ++i) {
      Pack<float, 4> four;
      CG_UNROLL
      for (int k = 0; k < 4; ++k) four[k] = sums[i][k];
      store_pack(shared + ((slice * 4 + i) * cells + cell) * 4, four);
    }
  }
  sync_block();
  if (slice > 0) return;
  for (int other = 1; other < tiles.slices; ++other) {
    CG_UNROLL
    for (int i = 0; i < 4; ++i) {
      const Pack<float, 4> four = load_pack<4>(shared + ((other * 4 + i) * cells + cell) * 4);
      CG_UNROLL
      for (int k = 0; k < 4; ++k) sums[i][k] += four[k];
    }
  }
}

template <class Source, class Gradient>
CG_KERNEL(block_threads, 2)
void conv_weight_kernel(Conv1dShape shape, WeightTiles tiles, Source x, Gradient dy,
                        float* __restrict__ partial) {
  CG_DYNAMIC_SHARED(float, shared);
  const int x_pitch = row_pitch(tiles.ins);
  const int dy_pitch = row_pitch(tiles.outs);
  float* const staged_dy = shared + tiles.rows * x_pitch;
  const auto thread = static_cast<int>(threadIdx.x);
  const int cell = thread % tiles.cells();
  const int slice = thread / tiles.cells();
  const int out = cell % tiles.outs * 4;
  const int in = cell / tiles.outs % tiles.ins * 4;
  const int tap = cell / tiles.outs / tiles.ins;
  const std::int64_t stride = shape.spec.stride;
  const std::int64_t dilation = shape.spec.dilation;
  const int x_jump = (tiles.windowed ? static_cast<int>(stride) : 1) * x_pitch;
  const std::int64_t out_tiles = (shape.outputs + tiles.outs * 4 - 1) / (tiles.outs * 4);
  const std::int64_t in_tiles = (shape.inputs + tiles.ins * 4 - 1) / (tiles.ins * 4);
  const std::int64_t tap_tiles = (shape.kernel + tiles.taps - 1) / tiles.taps;
  const std::int64_t along = (shape.output_length + weight_steps - 1) / weight_steps;
  for (std::int64_t item = blockIdx.x; item < out_tiles * in_tiles * tap_tiles * tiles.chunks;
       item += gridDim.x) {
    const std::int64_t output = item % out_tiles * tiles.outs * 4;
    const std::int64_t input = item / out_tiles % in_tiles * tiles.ins * 4;
    const std::int64_t tap0 = item / out_tiles / in_tiles % tap_tiles * tiles.taps;
    const std::int64_t chunk = item / out_tiles / in_tiles / tap_tiles;
    const std::int64_t last = least_of((chunk + 1) * tiles.tiles_a_chunk, shape.records * along);
    float sums[4][4] = {};
    for (std::int64_t tile = chunk * tiles.tiles_a_chunk; tile < last; ++tile) {
      const std::int64_t record = tile / along;
      const std::int64_t step0 = tile % along * weight_steps;
      sync_block();  // the tile before has been read
      stage_rows<tile_inputs / 4>(x, record, step0 * stride - shape.spec.padding + tap0 * dilation,
                                  tiles.windowed ? 1 : stride, shape.length, tiles.rows, input,
                                  tiles.ins, shared);
      stage_rows<weight_outputs / 4>(dy, record, step0, 1, shape.output_length, weight_steps,
                                     output, tiles.outs, staged_dy);
      sync_block();
      if (slice < tiles.slices) {
        multiply_steps(shared + tap * static_cast<int>(dilation) * x_pitch + in, x_jump,
                       staged_dy + out, dy_pitch, slice, tiles.slices, sums);
      }
    }
    add_slices(cell, slice, tiles, shared, sums);
    if (slice > 0 || tap0 + tap >= shape.kernel) continue;
    for (int i = 0; i < 4; ++i) {
      for (int k = 0; k < 4; ++k) {
        const std::int64_t row = input + in + i;
        const std::int64_t column = output + out + k;
        if (row >= shape.inputs || column >= shape.outputs) continue;
        partial[((chunk * shape.kernel + tap0 + tap) * shape.inputs + row) * shape.outputs +
                column] = sums[i][k];
      }
    }
  }
}

// Any groups: a thread one weight over a chunk of rows [n, t]; the channels of dy are neighbours.
// Index: 32 bits where all partial sums and rows are fewer than 2^31.
template <class T, class Index>
CG_KERNEL(block_threads, 4)
void grouped_weight_kernel(Conv1dShape shape, std::int64_t chunk_rows, const T* __restrict__ x,
                           const T* __restrict__ dy, float* __restrict__ partial) {
  const auto outputs = static_cast<Index>(shape.outputs);
  const auto in_group = static_cast<Index>(shape.inputs / shape.spec.groups);
  const auto out_group = static_cast<Index>(shape.outputs / shape.spec.groups);
  const auto weights = static_cast<Index>(shape.kernel) * in_group * outputs;
  const std::int64_t rows = shape.records * shape.output_length;
  const std::int64_t count = (rows + chunk_rows - 1) / chunk_rows * weights;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const auto at = static_cast<Index>(i);
    const Index weight = at % weights;
    const Index channel = weight % outputs;
    const Index input = channel / out_group * in_group + weight / outputs % in_group;
    const std::int64_t offset =
        weight / outputs / in_group * shape.spec.dilation - shape.spec.padding;
    const std::int64_t begin = at / weights * chunk_rows;
    const std::int64_t end = least_of(begin + chunk_rows, rows);
    const auto length = static_cast<Index>(shape.output_length);
    std::int64_t record = static_cast<Index>(begin) / length;
    std::int64_t t = static_cast<Index>(begin) % length;
    float total = 0.0F;
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t step = t * shape.spec.stride + offset;
      if (step >= 0 && step < shape.length) {
        total = math::fma(to_float(x[(record * shape.length + step) * shape.inputs + input]),
                          to_float(dy[row * shape.outputs + channel]), total);
      }
      if (++t == shape.output_length) {
        t = 0;
        ++record;
      }
    }
    partial[i] = total;
  }
}

// ---- The host's side ----------------------------------------------------------------------------

// Chunks for `rows` units of work, where each chunk takes blocks_a_chunk blocks and leaves
// `weights` partial sums: enough to fill a GPU, but no more than 16 MiB of partial sums.
inline std::int64_t weight_chunks(std::int64_t rows, std::int64_t blocks_a_chunk,
                                  std::int64_t weights) {
  constexpr std::int64_t blocks_wanted = 1024;
  constexpr std::int64_t most_partials = std::int64_t{4} << 20;
  const std::int64_t most = std::min(rows, std::max<std::int64_t>(most_partials / weights, 1));
  return std::clamp<std::int64_t>(blocks_wanted / blocks_a_chunk, 1, most);
}

inline WeightTiles weight_tiles(const Conv1dShape& shape) {
  constexpr std::int64_t most_rows = 384;  // with dy's 64 they take 40 KiB
  const auto window = [&](std::int64_t taps) {
    return (weight_steps - 1) * shape.spec.stride + (taps - 1) * shape.spec.dilation + 1;
  };
  WeightTiles tiles;
  tiles.ins = input_fours(shape.inputs);
  tiles.outs =
      static_cast<int>(std::min<std::int64_t>((shape.outputs + 3) / 4, weight_outputs / 4));
  std::int64_t taps =
      std::min<std::int64_t>(shape.kernel, block_threads / (tiles.ins * tiles.outs));
  while (taps > 1 && window(taps) > most_rows) --taps;
  const std::int64_t turns = (shape.kernel + taps - 1) / taps;
  taps = (shape.kernel + turns - 1) / turns;
  tiles.taps = static_cast<int>(taps);
  tiles.slices = block_threads / tiles.cells();
  tiles.windowed = taps > 1;
  tiles.rows = static_cast<int>(tiles.windowed ? window(taps) : weight_steps);
  const std::int64_t all =
      shape.records * ((shape.output_length + weight_steps - 1) / weight_steps);
  const std::int64_t blocks = (shape.outputs + tiles.outs * 4 - 1) / (tiles.outs * 4) *
                              ((shape.inputs + tiles.ins * 4 - 1) / (tiles.ins * 4)) * turns;
  const std::int64_t chunks =
      weight_chunks(all, blocks, shape.kernel * shape.inputs * shape.outputs);
  tiles.tiles_a_chunk = (all + chunks - 1) / chunks;
  tiles.chunks = (all + tiles.tiles_a_chunk - 1) / tiles.tiles_a_chunk;
  return tiles;
}

// One group. dweight and dy are not empty.
template <class T, class Source, class Gradient>
void conv_weight_gradient(const Device& device, BlockCache& blocks, const Conv1dShape& shape,
                          const Source& x, const Gradient& dy, T* dweight) {
  const WeightTiles tiles = weight_tiles(shape);
  const std::int64_t weights = shape.kernel * shape.inputs * shape.outputs;
  const Scratch<float> partial(blocks, tiles.chunks * weights);
  const std::int64_t items = (shape.outputs + tiles.outs * 4 - 1) / (tiles.outs * 4) *
                             ((shape.inputs + tiles.ins * 4 - 1) / (tiles.ins * 4)) *
                             ((shape.kernel + tiles.taps - 1) / tiles.taps) * tiles.chunks;
  const int staged = tiles.rows * row_pitch(tiles.ins) + weight_steps * row_pitch(tiles.outs);
  const int summed = tiles.slices > 1 ? tiles.slices * tiles.cells() * 16 : 0;
  launch<conv_weight_kernel<Source, Gradient>>(
      static_cast<unsigned>(std::min<std::int64_t>(items, 1 << 30)), block_threads,
      static_cast<std::size_t>(std::max(staged, summed)) * sizeof(float), device.stream, shape,
      tiles, x, dy, partial.data());
  sum_partials(device, partial.data(), tiles.chunks, weights, static_cast<const T*>(nullptr), 1,
               dweight);
}

template <class T>
void grouped_weight_gradient(const Device& device, BlockCache& blocks, const Conv1dShape& shape,
                             const T* x, const T* dy, T* dweight) {
  const std::int64_t weights = shape.kernel * shape.inputs / shape.spec.groups * shape.outputs;
  const std::int64_t rows = shape.records * shape.output_length;
  const std::int64_t wanted =
      weight_chunks(rows, (weights + block_threads - 1) / block_threads, weights);
  const std::int64_t chunk_rows = (rows + wanted - 1) / wanted;
  const std::int64_t chunks = (rows + chunk_rows - 1) / chunk_rows;
  const Scratch<float> partial(blocks, chunks * weights);
  const auto run = [&](auto index) {
    launch<grouped_weight_kernel<T, decltype(index)>>(device.blocks_for(weights * chunks),
                                                      block_threads, 0, device.stream, shape,
                                                      chunk_rows, x, dy, partial.data());
  };
  if (std::max(weights * chunks, rows) < std::int64_t{1} << 31) {
    run(std::int32_t{});
  } else {
    run(std::int64_t{});
  }
  sum_partials(device, partial.data(), chunks, weights, static_cast<const T*>(nullptr), 1, dweight);
}

}  // namespace cardiograd::cuda
