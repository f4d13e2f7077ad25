// Kernels for the emulator's own tests: right ones, and ones with a planted fault.
#pragma once

#include "kernels/cuda/grid.h"
#include "kernels/philox.h"

namespace cardiograd::emulator_kernels {

using namespace cuda;

// ---- Right --------------------------------------------------------------------------------------

inline CG_KERNEL(1024) void count_visits(int* visits) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  ++visits[block * blockDim.x * blockDim.y * blockDim.z + thread];
}

inline CG_KERNEL(256) void sum_of_block(const float* x, float* y, int count) {
  float total = 0.0F;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += 256) {
    total += x[static_cast<int>(blockIdx.x) * count + i];
  }
  total = block_sum<256>(total);
  // Twice: the second call must not disturb what the first one left.
  const float again = block_sum<256>(threadIdx.x == 0 ? total : 0.0F);
  if (threadIdx.x == 0) y[blockIdx.x] = again;
}

inline CG_KERNEL(1024) void scan_of_block(const float* x, float* y) {
  CG_SHARED(float[1024], held);
  const auto i = static_cast<int>(threadIdx.x);
  held[i] = x[i];
  sync_block();
  for (int distance = 1; distance < static_cast<int>(blockDim.x); distance *= 2) {
    const float left = i >= distance ? held[i - distance] : 0.0F;
    sync_block();
    held[i] += left;
    sync_block();
  }
  y[i] = held[i];
}

CG_DEVICE std::uint32_t two(BFloat16 low, BFloat16 high) {
  return low.bits | static_cast<std::uint32_t>(high.bits) << 16;
}

CG_DEVICE void store_fragment(const float (&d)[4], float* c, int n) {
  const int g = lane_of() / 4;
  const int t = lane_of() % 4;
  c += static_cast<int>(blockIdx.x) * 16 * n + static_cast<int>(blockIdx.y) * 8;
  c[g * n + 2 * t] = d[0];
  c[g * n + 2 * t + 1] = d[1];
  c[(g + 8) * n + 2 * t] = d[2];
  c[(g + 8) * n + 2 * t + 1] = d[3];
}

// A warp a tile of 16 x 8 of C [.., n]; A [.., k], B [k, n], row by row; k a multiple of 16.
inline CG_KERNEL(32) void multiply_by_hand(const BFloat16* a, const BFloat16* b, float* c, int k,
                                           int n) {
  const int g = lane_of() / 4;
  const int t = lane_of() % 4;
  a += static_cast<int>(blockIdx.x) * 16 * k;
  b += blockIdx.y * 8;
  float d[4] = {};
  for (int i = 0; i < k; i += 16) {
    const auto a_pair = [&](int row, int column) {
      return two(a[row * k + i + column], a[row * k + i + column + 1]);
    };
    const auto b_pair = [&](int row) {
      return two(b[(i + row) * n + g], b[(i + row + 1) * n + g]);
    };
    const std::uint32_t left[4] = {a_pair(g, 2 * t), a_pair(g + 8, 2 * t), a_pair(g, 2 * t + 8),
                                   a_pair(g + 8, 2 * t + 8)};
    const std::uint32_t right[2] = {b_pair(2 * t), b_pair(2 * t + 8)};
    mma_bf16(d, left, right);
  }
  store_fragment(d, c, n);
}

inline CG_KERNEL(32) void multiply_by_ldmatrix(const BFloat16* a, const BFloat16* b, float* c,
                                               int k, int n) {
  CG_SHARED(BFloat16[16][16], a_tile);
  CG_SHARED(BFloat16[16][8], b_tile);
  const int lane = lane_of();
  a += static_cast<int>(blockIdx.x) * 16 * k;
  b += blockIdx.y * 8;
  float d[4] = {};
  for (int i = 0; i < k; i += 16) {
    for (int e = lane; e < 256; e += 32) a_tile[e / 16][e % 16] = a[e / 16 * k + i + e % 16];
    for (int e = lane; e < 128; e += 32) b_tile[e / 8][e % 8] = b[(i + e / 8) * n + e % 8];
    sync_warp();
    std::uint32_t left[4];
    std::uint32_t right[2];
    load_matrix_x4(left, &a_tile[lane % 16][lane / 16 * 8]);
    load_matrix_x2_transposed(right, &b_tile[lane % 16][0]);
    mma_bf16(d, left, right);
    sync_warp();
  }
  store_fragment(d, c, n);
}

// A tile of 16 x 8 of C from a [16, 8] and b [8, 8]; operands as they are unless they are rounded.
inline CG_KERNEL(32) void multiply_tf32(const float* a, const float* b, float* c, bool rounded) {
  const int g = lane_of() / 4;
  const int t = lane_of() % 4;
  const auto bits = [=](float value) {
    return rounded ? tf32_bits(value) : std::bit_cast<std::uint32_t>(value);
  };
  const std::uint32_t left[4] = {bits(a[g * 8 + t]), bits(a[(g + 8) * 8 + t]),
                                 bits(a[g * 8 + t + 4]), bits(a[(g + 8) * 8 + t + 4])};
  const std::uint32_t right[2] = {bits(b[t * 8 + g]), bits(b[(t + 4) * 8 + g])};
  float d[4] = {};
  mma_tf32(d, left, right);
  store_fragment(d, c, 8);
}

inline CG_KERNEL(64) void warp_operations(unsigned* y, unsigned* counter) {
  const auto lane = static_cast<unsigned>(lane_of());
  const unsigned half = lane < 16 ? 0x0000ffffU : 0xffff0000U;
  unsigned* mine = y + threadIdx.x * 6;
  mine[0] = ballot(lane % 2 == 0);
  mine[1] = shuffle_xor(lane, 5);
  mine[2] = shuffle_down(lane, 3);
  mine[3] = shuffle_up(lane, 3);
  unsigned sum = lane;
  for (int distance = 8; distance > 0; distance /= 2) sum += shuffle_xor(sum, distance, half);
  mine[4] = sum;
  mine[5] = static_cast<unsigned>(sync_block_count(threadIdx.x % 2 == 0));
  atomic_add(counter, 1U);
}

// 16 threads, 16 bytes each a step: while one step is written out, the next one is on its way.
inline CG_KERNEL(16) void pipelined_copy(const float* x, float* y, int steps) {
  CG_SHARED(float[2][64], held);
  const auto at = static_cast<int>(threadIdx.x) * 4;
  copy_async_16(&held[0][at], x + at);
  commit_async();
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) copy_async_16(&held[(step + 1) % 2][at], x + (step + 1) * 64 + at);
    commit_async();
    wait_async<1>();
    sync_block();
    for (int i = 0; i < 4; ++i) y[step * 64 + 63 - at - i] = held[step % 2][63 - at - i];
    sync_block();
  }
}

inline CG_KERNEL(32) void draw_words(RandomKey key, std::uint32_t* y) {
  const Philox::Words words = key.draw(5, threadIdx.x);
  for (std::size_t i = 0; i < 4; ++i) y[threadIdx.x * 4 + i] = words[i];
}

template <class T>
CG_KERNEL(32)
void typed_kernel() {}

inline CG_KERNEL(32) void never_launched() {}

// ---- Faulty -------------------------------------------------------------------------------------

template <bool barrier>
CG_KERNEL(64)
void rotate(const float* x, float* y) {
  CG_SHARED(float[64], held);
  held[threadIdx.x] = x[threadIdx.x];
  if constexpr (barrier) sync_block();
  y[threadIdx.x] = held[(threadIdx.x + 1) % 64];
}

template <bool barrier>
CG_KERNEL(64)
void rotate_in_place(const float* x, float* y) {
  CG_SHARED(float[64], held);
  held[threadIdx.x] = x[threadIdx.x];
  sync_block();
  const float next = held[(threadIdx.x + 1) % 64];
  if constexpr (barrier) sync_block();
  held[threadIdx.x] = next;
  sync_block();
  y[threadIdx.x] = held[threadIdx.x];
}

// As rotate, where each warp needs the values of its own 32 lanes and of the next warp's first.
template <bool barrier>
CG_KERNEL(64)
void rotate_by_warp(const float* x, float* y) {
  CG_SHARED(float[64], held);
  held[threadIdx.x] = x[threadIdx.x];
  if constexpr (barrier) sync_warp();
  const unsigned next = (threadIdx.x + 1) % 64;
  y[threadIdx.x] = threadIdx.x % 32 == 31 ? x[next] : held[next];
}

inline CG_KERNEL(1) void read_unwritten(float* y) {
  CG_SHARED(float[4], held);
  *y = held[2];
  held[2] = 1.0F;  // for the next block, which must not see it
}

inline CG_KERNEL(16) void copy_without_wait(const float* x, float* y) {
  CG_SHARED(float[64], held);
  copy_async_16(held + threadIdx.x * 4, x + threadIdx.x * 4);
  commit_async();
  sync_block();
  y[threadIdx.x] = held[threadIdx.x];
}

inline constexpr int divergent_barrier_line = __LINE__ + 2;
inline CG_KERNEL(1024) void divergent_barrier(int count) {
  if (static_cast<int>(threadIdx.x) < count) sync_block();
}

inline CG_KERNEL(64) void two_barriers() {
  if (threadIdx.x < 32) {
    sync_block();
  } else {
    sync_block();
  }
}

inline CG_KERNEL(32) void wrong_mask(std::uint32_t mask) { shuffle_xor(lane_of(), 1, mask); }

inline CG_KERNEL(32) void half_of_a_warp() {
  if (lane_of() < 16) shuffle_xor(lane_of(), 1);
}

inline CG_KERNEL(1) void read_pack(const float* x) { load_pack<4>(x); }

inline CG_KERNEL(1) void large_array() {
  CG_SHARED(unsigned char[48 * 1024 + 1], held);
  held[0] = 0;
}

inline CG_KERNEL(32) void write_past_shared(int last) {
  CG_SHARED(int[32], held);
  if (threadIdx.x == 0) held[last] = 1;
}

inline CG_KERNEL(32) void write_dynamic(int last) {
  CG_DYNAMIC_SHARED(int, held);
  if (threadIdx.x == 0) held[last] = 1;
}

}  // namespace cardiograd::emulator_kernels
