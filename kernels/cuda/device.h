// What the host side of every kernel family shares: the device's queue and size, dispatch by
// storage type, alignment. No launches here.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "kernels/checks.h"
#include "kernels/cuda/runtime.h"

namespace cardiograd::cuda {

// Threads of a block in kernels that have no reason for another number.
inline constexpr int block_threads = 256;

struct Device {
  Queue stream;
  int multiprocessors = 1;
  const std::uint32_t* epoch = nullptr;  // of random draws, see epoch.h

  // Blocks for a grid-stride loop over `items`: one thread an item, but no more blocks than keep
  // every multiprocessor full for a few waves.
  unsigned blocks_for(std::int64_t items, int threads = block_threads) const {
    constexpr std::int64_t blocks_a_multiprocessor = 32;
    return static_cast<unsigned>(
        std::min((items + threads - 1) / threads, blocks_a_multiprocessor * multiprocessors));
  }
};

// Throws DeviceError unless every operand that is there has `dtype`.
inline void require_dtype(std::string_view operation, DType dtype,
                          std::initializer_list<ConstView> operands) {
  for (const ConstView& operand : operands) {
    if (operand.present() && operand.dtype != dtype) {
      throw DeviceError(std::string(operation) + " on cuda wants all operands in " +
                        std::string(name_of(dtype)) + ", got " +
                        std::string(name_of(operand.dtype)));
    }
  }
}

// Calls f with a float or a BFloat16, the element type of all the operands; the first one decides.
// Throws DeviceError for other dtypes.
template <class F>
void dispatch_storage(std::string_view operation, std::initializer_list<ConstView> operands,
                      F&& f) {
  const DType dtype = operands.begin()->dtype;
  require_dtype(operation, dtype, operands);
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::bf16:
      return f(BFloat16{});
    default:
      throw DeviceError(std::string(operation) + " on cuda computes in f32 or bf16, got " +
                        std::string(name_of(dtype)));
  }
}

// Elements of an operand whose dtype has been checked; null for one that is absent.
template <class T>
T* elements(const View& view) {
  return static_cast<T*>(view.data);
}
template <class T>
const T* elements(const ConstView& view) {
  return static_cast<const T*>(view.data);
}

inline bool is_aligned(const void* p, std::size_t alignment) {
  return std::bit_cast<std::uintptr_t>(p) % alignment == 0;
}

// The rows [0, count) of 16-byte accesses: `head` elements one by one, then `packs` packs, then the
// rest one by one. Operands that do not lie alike with respect to 16 bytes go one by one
// altogether.
struct Split {
  std::int64_t head = 0;
  std::int64_t packs = 0;
  std::int64_t count = 0;
};

template <class T>
Split split(std::int64_t count, std::initializer_list<const void*> operands) {
  const std::uintptr_t misalignment = std::bit_cast<std::uintptr_t>(*operands.begin()) % 16;
  for (const void* operand : operands) {
    if (std::bit_cast<std::uintptr_t>(operand) % 16 != misalignment) return {count, 0, count};
  }
  constexpr auto size = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t head =
      std::min(count, static_cast<std::int64_t>((16 - misalignment) % 16) / size);
  return {head, (count - head) * size / 16, count};
}

}  // namespace cardiograd::cuda
