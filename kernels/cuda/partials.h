// The second stage of every sum that is cut into chunks: y[i] = bias + the sum of partial[chunk,
// i].
//
// Bytes: 4 an element and chunk read, sizeof(T) an element written; one FLOP an element and chunk.
// Bound: memory, and for the small sums that it is made for, the launch. The order of the sum
// depends on the number of chunks alone.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/grid.h"

namespace cardiograd::cuda {

inline constexpr int partial_columns = 32;
inline constexpr int partial_lanes = block_threads / partial_columns;

// A block sums 32 neighbouring elements, each of its 8 rows of threads every eighth chunk. bias
// (null: none) is added to element i at i % bias_count.
template <class T>
CG_KERNEL(block_threads)
void sum_partials_kernel(const float* __restrict__ partial, std::int64_t chunks, std::int64_t count,
                         const T* __restrict__ bias, std::int64_t bias_count, T* __restrict__ y) {
  CG_SHARED(float[partial_lanes][partial_columns], part);
  const auto lane = static_cast<int>(threadIdx.y);
  const auto column = static_cast<int>(threadIdx.x);
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * partial_columns; first < count;
       first += static_cast<std::int64_t>(gridDim.x) * partial_columns) {
    const std::int64_t i = first + column;
    float total = 0.0F;
    if (i < count) {
      for (std::int64_t chunk = lane; chunk < chunks; chunk += partial_lanes) {
        total += partial[chunk * count + i];
      }
    }
    part[lane][column] = total;
    sync_block();
    if (lane == 0 && i < count) {
      for (int other = 1; other < partial_lanes; ++other) total += part[other][column];
      if (bias != nullptr) total += to_float(bias[i % bias_count]);
      y[i] = from_float<T>(total);
    }
    sync_block();  // part is written again
  }
}

template <class T>
void sum_partials(const Device& device, const float* partial, std::int64_t chunks,
                  std::int64_t count, const T* bias, std::int64_t bias_count, T* y) {
  launch<sum_partials_kernel<T>>(device.blocks_for(count, partial_columns),
                                 dim3(partial_columns, partial_lanes), 0, device.stream, partial,
                                 chunks, count, bias, bias_count, y);
}

}  // namespace cardiograd::cuda
