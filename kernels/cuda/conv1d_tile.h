// Convolution without groups, and its gradient to x, in tiles: a block computes 64 to 256 steps by
// 16 to 64 channels of a record's output.
//
// Bytes: x once from memory (the blocks of other output channels find it in L2), y once; the
// weights from L2. FLOPs: 2 k Ci an element of y. Bound: f32 FMA; memory for k Ci below about 30.
// The steps of x under a tile (or one tap's) and the weights of some taps lie in shared memory, 16
// input channels at a time; a thread keeps 8 steps by 4 channels in registers and does 128 FMAs
// with 12 reads of 16 bytes.
#pragma once

#include <limits>
#include <type_traits>

#include "kernels/cuda/conv1d_walk.h"
#include "kernels/cuda/grid.h"
#include "kernels/cuda/relu_pool.h"

namespace cardiograd::cuda {

inline constexpr int tile_inputs = 16;  // input channels in shared memory at a time
inline constexpr int thread_steps = 8;

template <int channels>
inline constexpr int conv_threads = channels == 48 ? 192 : 128;
// A multiprocessor's, so that a thread may keep 128 registers or more: sums, a step, addresses.
template <int channels>
inline constexpr int conv_blocks = channels == 48 ? 2 : 4;
template <int channels>
inline constexpr int step_lanes = conv_threads<channels> / (channels / 4);
template <int channels>
inline constexpr int tile_steps = thread_steps* step_lanes<channels>;
template <int channels>
inline constexpr int pool_pitch = channels + 4;

// How a launch cuts its work; the same for every block.
struct ConvTiles {
  std::int64_t steps_a_tile = 0;  // whole pooling windows
  int taps_a_turn = 1;
  // The input's steps lie in shared memory without gaps, for all taps of a turn; otherwise one tap
  // a turn, and only the steps that it reads.
  bool windowed = true;
  int rows = 0;  // of input in shared memory
  bool weight_packed = false;
  std::size_t shared_bytes = 0;
};

// The floats from one row of `fours` packs to the next: an odd number of packs, so that eight
// neighbouring rows lie on different banks.
CG_HOST_DEVICE constexpr int row_pitch(int fours) { return (fours | 1) * 4; }

CG_HOST_DEVICE int input_fours(std::int64_t channels_left) {
  return channels_left < tile_inputs ? static_cast<int>((channels_left + 3) / 4) : tile_inputs / 4;
}

// y (or dx), with the bias if there is one.
template <class T>
struct WriteRows {
  static constexpr bool pools = false;
  const T* bias = nullptr;
  T* y = nullptr;
  bool packed = false;
};

// ReLU and max-pooling of `pool` steps, and which of them won.
template <class T>
struct WritePooled {
  static constexpr bool pools = true;
  const T* bias = nullptr;
  T* y = nullptr;
  std::uint8_t* winner = nullptr;
  int pool = 1;
};

// Steps first + r unit of the source, 4 `fours` channels from `channel`, to shared memory; `slots`
// threads a row, of which `fours` work.
template <int slots, class Source>
CG_DEVICE void stage_rows(const Source& source, std::int64_t record, std::int64_t first,
                          std::int64_t unit, std::int64_t length, int rows, std::int64_t channel,
                          int fours, float* shared) {
  const int pitch = row_pitch(fours);
  for (int i = static_cast<int>(threadIdx.x); i < rows * slots; i += static_cast<int>(blockDim.x)) {
    const int slot = i % slots;
    if (slot >= fours) continue;
    const std::int64_t step = first + i / slots * unit;
    Pack<float, 4> four{};
    if (step >= 0 && step < length) four = source.four(record, step, channel + slot * 4);
    store_pack(shared + i / slots * pitch + slot * 4, four);
  }
}

// The weights of `taps` taps from j of the walk, 4 `fours` input by `channels` output channels:
// shared[tap, input, output].
template <int channels, bool backward, class T>
CG_DEVICE void stage_weights(const Conv1dShape& shape, const Walk& walk, std::int64_t j, int taps,
                             std::int64_t input, int fours, std::int64_t output, const T* weight,
                             bool packed, float* shared) {
  constexpr int threads = conv_threads<channels>;
  for (int tap = 0; tap < taps; ++tap) {
    const std::int64_t from = (walk.tap_first + (j + tap) * walk.tap_step) * shape.inputs;
    float* to = shared + tap * fours * 4 * channels;
    if constexpr (backward) {  // four neighbours in memory are four inputs: dy's channels
      constexpr int slots = tile_inputs / 4;
      for (int i = static_cast<int>(threadIdx.x); i < channels * slots; i += threads) {
        const int slot = i % slots;
        if (slot >= fours) continue;
        const std::int64_t row = output + i / slots;
        const std::int64_t column = input + slot * 4;
        const Pack<float, 4> four =
            load_four(weight + (from + row) * shape.outputs + column,
                      row < shape.inputs ? shape.outputs - column : 0, packed);
        CG_UNROLL
        for (int k = 0; k < 4; ++k) to[(slot * 4 + k) * channels + i / slots] = four[k];
      }
    } else {
      for (int i = static_cast<int>(threadIdx.x); i < fours * channels; i += threads) {
        const int row = i / (channels / 4);
        const int column = i % (channels / 4) * 4;
        store_pack(
            to + row * channels + column,
            load_four(weight + (from + input + row) * shape.outputs + output + column,
                      input + row < shape.inputs ? shape.outputs - output - column : 0, packed));
      }
    }
  }
}

// sums[step][channel] += the products of one turn. x: the first of the thread's steps; `jump`
// floats to its next one, `tap_jump` from tap to tap. w: the first of its channels.
template <int channels>
CG_DEVICE void multiply_turn(const float* x, int jump, int tap_jump, const float* w, int taps,
                             int fours, float (&sums)[thread_steps][4]) {
  for (int tap = 0; tap < taps; ++tap) {
    for (int c = 0; c < fours; ++c) {
      Pack<float, 4> factor[4];
      CG_UNROLL
      for (int i = 0; i < 4; ++i) factor[i] = load_pack<4>(w + i * channels);
      w += 4 * channels;
      CG_UNROLL
      for (int step = 0; step < thread_steps; ++step) {
        const Pack<float, 4> value = load_pack<4>(x + step * jump + c * 4);
        CG_UNROLL
        for (int i = 0; i < 4; ++i) {
          CG_UNROLL
          for (int k = 0; k < 4; ++k) {
            sums[step][k] = math::fma(value[i], factor[i][k], sums[step][k]);
          }
        }
      }
    }
    x += tap_jump;
  }
}

// Where a block's tile lies.
struct TilePlace {
  std::int64_t record = 0;
  std::int64_t step0 = 0;    // of the walk
  std::int64_t channel = 0;  // of the output
};

template <int channels, bool backward, class T>
CG_DEVICE void write_rows(const Convolution<backward>& convolution, const TilePlace& place,
                          const ConvTiles&, const WriteRows<T>& out,
                          const float (&sums)[thread_steps][4], float*) {
  const Walk& walk = convolution.walk;
  const std::int64_t count = convolution.out_channels();
  const std::int64_t channel = place.channel + threadIdx.x % (channels / 4) * 4;
  const std::int64_t valid = count - channel;
  Pack<float, 4> bias{};
  if (out.bias != nullptr) bias = load_four(out.bias + channel, valid, false);
  CG_UNROLL
  for (int i = 0; i < thread_steps; ++i) {
    const std::int64_t q = place.step0 + threadIdx.x / (channels / 4) + i * step_lanes<channels>;
    if (q >= walk.steps) continue;
    Pack<float, 4> four;
    CG_UNROLL
    for (int k = 0; k < 4; ++k) four[k] = sums[i][k] + bias[k];
    const std::int64_t row =
        place.record * convolution.out_length() + walk.out_first + q * walk.out_stride;
    store_four(out.y + row * count + channel, four, valid, out.packed);
  }
}

// The tile goes through shared memory, because the steps of a window are several threads'.
template <int channels, bool backward, class T>
CG_DEVICE void write_rows(const Convolution<backward>& convolution, const TilePlace& place,
                          const ConvTiles& tiles, const WritePooled<T>& out,
                          const float (&sums)[thread_steps][4], float* shared) {
  const int column = static_cast<int>(threadIdx.x) % (channels / 4) * 4;
  const std::int64_t count = convolution.out_channels();
  Pack<float, 4> bias{};
  if (out.bias != nullptr) {
    bias = load_four(out.bias + place.channel + column, count - place.channel - column, false);
  }
  sync_block();  // what was staged has been read
  CG_UNROLL
  for (int i = 0; i < thread_steps; ++i) {
    Pack<float, 4> four;
    CG_UNROLL
    for (int k = 0; k < 4; ++k) four[k] = sums[i][k] + bias[k];
    const int row = static_cast<int>(threadIdx.x) / (channels / 4) + i * step_lanes<channels>;
    store_pack(shared + row * pool_pitch<channels> + column, four);
  }
  sync_block();
  const std::int64_t pooled = convolution.walk.steps / out.pool;
  const std::int64_t first = place.step0 / out.pool;
  const int windows = static_cast<int>(tiles.steps_a_tile) / out.pool;
  for (int i = static_cast<int>(threadIdx.x); i < windows * channels; i += conv_threads<channels>) {
    const int window = i / channels;
    const std::int64_t channel = place.channel + i % channels;
    if (first + window >= pooled || channel >= count) continue;
    std::uint8_t winner = 0;
    const float best = relu_pool(shared + window * out.pool * pool_pitch<channels> + i % channels,
                                 pool_pitch<channels>, out.pool, 0.0F, winner);
    const std::int64_t at = (place.record * pooled + first + window) * count + channel;
    out.y[at] = from_float<T>(best);
    out.winner[at] = winner;
  }
}

template <int channels, bool backward, class Source, class T, class Out>
CG_KERNEL(conv_threads<channels>, conv_blocks<channels>)
void conv_tile_kernel(Convolution<backward> convolution, ConvTiles tiles, Source source,
                      const T* __restrict__ weight, Out out) {
  CG_DYNAMIC_SHARED(float, shared);
  const std::int64_t inputs = convolution.in_channels();
  float* const staged_weights = shared + tiles.rows * row_pitch(input_fours(inputs));
  const Walk& walk = convolution.walk;
  const std::int64_t across = (convolution.out_channels() + channels - 1) / channels;
  const std::int64_t along = (walk.steps + tiles.steps_a_tile - 1) / tiles.steps_a_tile;
  for (std::int64_t item = blockIdx.x; item < across * along * convolution.shape.records;
       item += gridDim.x) {
    const std::int64_t tile = item / across;
    const TilePlace place{tile / along, tile % along * tiles.steps_a_tile,
                          item % across * channels};
    const std::int64_t unit = tiles.windowed ? 1 : walk.in_stride;
    float sums[thread_steps][4] = {};
    for (std::int64_t input = 0; input < inputs; input += tile_inputs) {
      const int fours = input_fours(inputs - input);
      const int pitch = row_pitch(fours);
      const int row_jump = tiles.windowed ? static_cast<int>(walk.in_stride) * pitch : pitch;
      for (std::int64_t j = 0; j < walk.taps; j += tiles.taps_a_turn) {
        const std::int64_t left = walk.taps - j;
        const int taps = left < tiles.taps_a_turn ? static_cast<int>(left) : tiles.taps_a_turn;
        sync_block();  // the turn before has been read
        stage_rows<tile_inputs / 4>(
            source, place.record, place.step0 * walk.in_stride + walk.in_base + j * walk.in_step,
            unit, convolution.in_length(), tiles.rows, input, fours, shared);
        stage_weights<channels, backward>(convolution.shape, walk, j, taps, input, fours,
                                          place.channel, weight, tiles.weight_packed,
                                          staged_weights);
        sync_block();
        multiply_turn<channels>(
            shared + static_cast<int>(threadIdx.x) / (channels / 4) * row_jump,
            step_lanes<channels> * row_jump, static_cast<int>(walk.in_step) * pitch,
            staged_weights + static_cast<int>(threadIdx.x) % (channels / 4) * 4, taps, fours, sums);
      }
    }
    write_rows<channels>(convolution, place, tiles, out, sums, shared);
  }
}

// ---- The host's side ----------------------------------------------------------------------------

// As many taps a turn as fit in what lets a multiprocessor hold five blocks.
template <int channels, bool backward>
ConvTiles conv_tiles(const Convolution<backward>& convolution, std::int64_t pool) {
  constexpr std::int64_t budget = 40 * 1024 / sizeof(float);
  constexpr std::int64_t steps = tile_steps<channels>;
  const int fours = input_fours(convolution.in_channels());
  const Walk& walk = convolution.walk;
  const std::int64_t taps = std::max<std::int64_t>(walk.taps, 1);
  const auto floats = [&](std::int64_t rows, std::int64_t turn) {
    return rows * row_pitch(fours) + turn * fours * 4 * channels;
  };
  const auto window = [&](std::int64_t turn) {
    return (steps - 1) * walk.in_stride + (turn - 1) * walk.in_step + 1;
  };
  std::int64_t turn = std::min<std::int64_t>(taps, budget);
  while (turn > 1 && floats(window(turn), turn) > budget) --turn;
  turn = (taps + (taps + turn - 1) / turn - 1) / ((taps + turn - 1) / turn);  // even turns
  ConvTiles tiles;
  tiles.steps_a_tile = steps / pool * pool;
  tiles.windowed = turn > 1;
  tiles.taps_a_turn = static_cast<int>(turn);
  tiles.rows = static_cast<int>(tiles.windowed ? window(turn) : steps);
  tiles.shared_bytes = static_cast<std::size_t>(floats(tiles.rows, turn)) * sizeof(float);
  return tiles;
}

template <int channels, bool backward, class Source, class T, class Out>
void launch_conv_tiles(const Device& device, const Convolution<backward>& convolution,
                       std::int64_t pool, const Source& source, const T* weight, const Out& out) {
  ConvTiles tiles = conv_tiles<channels>(convolution, pool);
  tiles.weight_packed = fours_fit(weight, convolution.shape.outputs);
  if constexpr (Out::pools) {
    tiles.shared_bytes =
        std::max(tiles.shared_bytes, tile_steps<channels> * pool_pitch<channels> * sizeof(float));
  }
  const std::int64_t items =
      (convolution.out_channels() + channels - 1) / channels *
      ((convolution.walk.steps + tiles.steps_a_tile - 1) / tiles.steps_a_tile) *
      convolution.shape.records;
  launch<conv_tile_kernel<channels, backward, Source, T, Out>>(
      static_cast<unsigned>(std::min<std::int64_t>(items, 1 << 30)), conv_threads<channels>,
      tiles.shared_bytes, device.stream, convolution, tiles, source, weight, out);
}

// Chooses the tile that computes the least beyond the output's edges, of equals the widest.
template <bool backward, class Source, class T, class Out>
void convolve_tiles(const Device& device, const Convolution<backward>& convolution,
                    std::int64_t pool, const Source& source, const T* weight, const Out& out) {
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  int best = 16;
  const auto consider = [&](int channels, std::int64_t steps) {
    if (pool > steps) return;
    const std::int64_t usable = steps / pool * pool;
    const std::int64_t cost = (convolution.out_channels() + channels - 1) / channels * channels *
                              ((convolution.walk.steps + usable - 1) / usable) * steps;
    if (cost <= least) {
      least = cost;
      best = channels;
    }
  };
  consider(16, tile_steps<16>);
  consider(32, tile_steps<32>);
  consider(48, tile_steps<48>);
  consider(64, tile_steps<64>);
  const auto run = [&](auto channels) {
    launch_conv_tiles<decltype(channels)::value>(device, convolution, pool, source, weight, out);
  };
  if (best == 16) run(std::integral_constant<int, 16>{});
  if (best == 32) run(std::integral_constant<int, 32>{});
  if (best == 48) run(std::integral_constant<int, 48>{});
  if (best == 64) run(std::integral_constant<int, 64>{});
}

}  // namespace cardiograd::cuda
