// y[i] = operation(a[i], b[i]): the kernel behind every operation that works element by element.
//
// Bytes: sizeof(T) an operand and element, each read or written once; a handful of FLOPs an
// element. Bound: memory. Each thread moves 16 bytes of each operand in one access where all lie
// alike.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/grid.h"

namespace cardiograd::cuda {

// Operation: float operator()(float a, float b) const, and how many of the two it reads (inputs).
// y may be a or b, so no pointer is restrict.
template <class T, class Operation>
CG_KERNEL(block_threads)
void map_kernel(Operation operation, const T* a, const T* b, T* y, Split split) {
  constexpr int n = pack_size<T>;
  for (std::int64_t i = first_item(); i < split.packs; i += item_step()) {
    const std::int64_t at = split.head + i * n;
    const Pack<T, n> left = load_pack<n>(a + at);
    Pack<T, n> right = left;
    if constexpr (Operation::inputs == 2) right = load_pack<n>(b + at);
    Pack<T, n> result;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      result[j] = from_float<T>(operation(to_float(left[j]), to_float(right[j])));
    }
    store_pack(y + at, result);
  }
  const std::int64_t in_packs = split.packs * n;
  for (std::int64_t i = first_item(); i < split.count - in_packs; i += item_step()) {
    const std::int64_t at = i < split.head ? i : i + in_packs;
    const float left = to_float(a[at]);
    float right = left;
    if constexpr (Operation::inputs == 2) right = to_float(b[at]);
    y[at] = from_float<T>(operation(left, right));
  }
}

// b is ignored, and may be null, for an operation of one input.
template <class T, class Operation>
void map(const Device& device, const Operation& operation, const T* a, const T* b, T* y,
         std::int64_t count) {
  if (count == 0) return;
  const Split parts = Operation::inputs == 2 ? split<T>(count, {a, b, y}) : split<T>(count, {a, y});
  const std::int64_t items = std::max(parts.packs, count - parts.packs * pack_size<T>);
  launch<map_kernel<T, Operation>>(device.blocks_for(items), block_threads, 0, device.stream,
                                   operation, a, b, y, parts);
}

}  // namespace cardiograd::cuda
