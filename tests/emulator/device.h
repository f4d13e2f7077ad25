// launch.h for g++: the names of kernels/cuda/launch.h, on the emulator.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <source_location>
#include <tuple>
#include <type_traits>

#include "kernels/cuda/kernel_name.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/runtime.h"
#include "kernels/dtype.h"
#include "tests/emulator/emulator.h"
#include "tests/emulator/machine_state.h"

#define CG_KERNEL(...)
#define CG_DEVICE inline
#define CG_HOST_DEVICE inline
#define CG_UNROLL
// The tag is one object for each instance of the function, so that each has an array of its own.
#define CG_SHARED(type, name)                               \
  static char name##_tag;                                   \
  auto& name = *static_cast<::std::type_identity_t<type>*>( \
      ::cardiograd::emulator::shared_array(&name##_tag, #name, sizeof(type)))
#define CG_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(::cardiograd::emulator::dynamic_shared())

namespace cardiograd::cuda {

using Location = std::source_location;
using dim3 = emulator::Dim3;
inline constexpr emulator::Dim3& threadIdx = emulator::thread_index;
inline constexpr emulator::Dim3& blockIdx = emulator::block_index;
inline constexpr emulator::Dim3& blockDim = emulator::block_size;
inline constexpr emulator::Dim3& gridDim = emulator::grid_size;

// ---- Launching ----------------------------------------------------------------------------------

namespace detail {

// Arguments are converted to the kernel's parameters once and copied for each thread, as a GPU
// does.
template <auto kernel, class... Parameters>
void run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*)(Parameters...),
         const std::type_identity_t<Parameters>&... arguments) {
  const std::tuple<Parameters...> values(arguments...);
  const auto one_thread = [](const void* pointer) {
    std::apply(kernel, *static_cast<const std::tuple<Parameters...>*>(pointer));
  };
  emulator::run({kernel_name<kernel>(), grid, block, shared_bytes, one_thread, &values});
}

}  // namespace detail

template <auto kernel, class... Arguments>
void launch(dim3 grid, dim3 block, std::size_t shared_bytes, Stream,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  emulator::run_or_record([=] {
    detail::run<kernel>(grid, block, shared_bytes, kernel, arguments...);
    emulator::kernel_was_launched(kernel_name<kernel>());
  });
}

// ---- Threads of a block and of a warp -----------------------------------------------------------

inline constexpr std::uint32_t full_warp = 0xffffffffU;

inline int lane_of() { return emulator::lane_index(); }

inline void sync_block(Location where = Location::current()) {
  emulator::block_barrier(emulator::Barrier::plain, false, where);
}
inline int sync_block_count(bool predicate, Location where = Location::current()) {
  return emulator::block_barrier(emulator::Barrier::count, predicate, where);
}
inline bool sync_block_or(bool predicate, Location where = Location::current()) {
  return emulator::block_barrier(emulator::Barrier::any, predicate, where) != 0;
}
inline bool sync_block_and(bool predicate, Location where = Location::current()) {
  return emulator::block_barrier(emulator::Barrier::all, predicate, where) != 0;
}
inline void sync_warp(std::uint32_t mask = full_warp, Location where = Location::current()) {
  emulator::warp_meeting(
      "sync_warp", mask, nullptr, [](void* const(&)[32], std::uint32_t) {}, where);
}
inline void memory_fence() {}

namespace detail {

template <class T>
struct Shuffled {
  T value;
  int source;  // outside 0 .. 31: its own value
  T result;
};

// A lane outside the mask has nothing to give: its value is undefined, here all bits set.
template <class T>
T shuffle_from(const char* operation, T value, int source, std::uint32_t mask, Location where) {
  Shuffled<T> mine{value, source, value};
  emulator::warp_meeting(
      operation, mask, &mine,
      [](void* const(&payloads)[32], std::uint32_t) {
        for (void* payload : payloads) {
          if (payload == nullptr) continue;
          auto& lane = *static_cast<Shuffled<T>*>(payload);
          if (lane.source < 0 || lane.source > 31) continue;
          const void* from = payloads[lane.source];
          if (from != nullptr) {
            lane.result = static_cast<const Shuffled<T>*>(from)->value;
          } else {
            auto* bytes = reinterpret_cast<unsigned char*>(&lane.result);
            for (std::size_t i = 0; i < sizeof(T); ++i) bytes[i] = 0xFF;
          }
        }
      },
      where);
  return mine.result;
}

inline std::uint32_t vote(const char* operation, bool predicate, std::uint32_t mask,
                          Location where) {
  struct Vote {
    bool predicate;
    std::uint32_t ballot;
  };
  Vote mine{predicate, 0};
  emulator::warp_meeting(
      operation, mask, &mine,
      [](void* const(&payloads)[32], std::uint32_t) {
        std::uint32_t ballot = 0;
        for (int lane = 0; lane < 32; ++lane) {
          const auto* vote = static_cast<const Vote*>(payloads[lane]);
          if (vote != nullptr && vote->predicate) ballot |= 1U << lane;
        }
        for (void* payload : payloads) {
          if (payload != nullptr) static_cast<Vote*>(payload)->ballot = ballot;
        }
      },
      where);
  return mine.ballot;
}

}  // namespace detail

template <class T>
T shuffle(T value, int lane, std::uint32_t mask = full_warp, Location where = Location::current()) {
  return detail::shuffle_from("shuffle", value, lane & 31, mask, where);
}
template <class T>
T shuffle_xor(T value, int bits, std::uint32_t mask = full_warp,
              Location where = Location::current()) {
  return detail::shuffle_from("shuffle_xor", value, lane_of() ^ bits, mask, where);
}
template <class T>
T shuffle_down(T value, int distance, std::uint32_t mask = full_warp,
               Location where = Location::current()) {
  return detail::shuffle_from("shuffle_down", value, lane_of() + distance, mask, where);
}
template <class T>
T shuffle_up(T value, int distance, std::uint32_t mask = full_warp,
             Location where = Location::current()) {
  return detail::shuffle_from("shuffle_up", value, lane_of() - distance, mask, where);
}
inline std::uint32_t ballot(bool predicate, std::uint32_t mask = full_warp,
                            Location where = Location::current()) {
  return detail::vote("ballot", predicate, mask, where);
}
inline bool any_of(bool predicate, std::uint32_t mask = full_warp,
                   Location where = Location::current()) {
  return detail::vote("any_of", predicate, mask, where) != 0;
}
inline bool all_of(bool predicate, std::uint32_t mask = full_warp,
                   Location where = Location::current()) {
  return detail::vote("all_of", predicate, mask, where) == mask;
}

// ---- Atomics on integers ------------------------------------------------------------------------

template <class T>
concept AtomicInteger =
    std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;

// One thread runs at a time: plain memory operations are atomic.
template <AtomicInteger T>
T atomic_exchange(T* p, T value) {
  const T before = *p;
  *p = value;
  return before;
}
template <AtomicInteger T>
T atomic_add(T* p, T value) {
  using Unsigned = std::make_unsigned_t<T>;
  return atomic_exchange(p,
                         static_cast<T>(static_cast<Unsigned>(*p) + static_cast<Unsigned>(value)));
}
template <AtomicInteger T>
T atomic_min(T* p, T value) {
  return atomic_exchange(p, *p < value ? *p : value);
}
template <AtomicInteger T>
T atomic_max(T* p, T value) {
  return atomic_exchange(p, *p < value ? value : *p);
}
template <AtomicInteger T>
T atomic_compare_exchange(T* p, T expected, T value) {
  return atomic_exchange(p, *p == expected ? value : *p);
}

// ---- Copies that do not pass through registers --------------------------------------------------

template <class T>
void check_alignment(const T* p, std::size_t alignment, Location where = Location::current()) {
  if (std::bit_cast<std::uintptr_t>(p) % alignment != 0) {
    emulator::stop("an access of " + std::to_string(alignment) + " bytes is misaligned", where);
  }
}

inline void copy_async_16(void* shared, const void* global, Location where = Location::current()) {
  check_alignment(static_cast<const unsigned char*>(shared), 16, where);
  check_alignment(static_cast<const unsigned char*>(global), 16, where);
  emulator::copy_async(shared, global, 16);
}
inline void commit_async() { emulator::commit_async(); }
template <int pending>
void wait_async() {
  emulator::wait_async(pending);
}

// ---- Tensor cores: the fragments' layout is described in kernels/cuda/launch_device.h -----------

void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              Location where = Location::current());
// Stops at an operand that is not rounded: what a GPU makes of its lower bits is undefined.
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              Location where = Location::current());
std::uint32_t tf32_bits(float value);
void load_matrix_x4(std::uint32_t (&r)[4], const void* row, Location where = Location::current());
void load_matrix_x4_transposed(std::uint32_t (&r)[4], const void* row,
                               Location where = Location::current());
void load_matrix_x2(std::uint32_t (&r)[2], const void* row, Location where = Location::current());
void load_matrix_x2_transposed(std::uint32_t (&r)[2], const void* row,
                               Location where = Location::current());

// ---- Elements and functions ---------------------------------------------------------------------

template <int n, class T>
Pack<T, n> load_pack(const T* p, Location where = Location::current()) {
  check_alignment(p, sizeof(Pack<T, n>), where);
  return *reinterpret_cast<const Pack<T, n>*>(p);
}
template <int n, class T>
void store_pack(T* p, const Pack<T, n>& pack, Location where = Location::current()) {
  check_alignment(p, sizeof(Pack<T, n>), where);
  *reinterpret_cast<Pack<T, n>*>(p) = pack;
}

inline float to_float(float value) { return value; }
inline float to_float(BFloat16 value) { return static_cast<float>(value); }
template <class T>
T from_float(float value) {
  return T(value);
}

namespace math {

inline float exp(float x) { return std::exp(x); }
inline float log(float x) { return std::log(x); }
inline float log1p(float x) { return std::log1p(x); }
inline float tanh(float x) { return std::tanh(x); }
inline float erf(float x) { return std::erf(x); }
inline float erfc(float x) { return std::erfc(x); }
inline float sqrt(float x) { return std::sqrt(x); }
inline float rsqrt(float x) { return 1.0F / std::sqrt(x); }
inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline float fast_exp(float x) { return std::exp(x); }
inline float fast_divide(float a, float b) { return a / b; }

}  // namespace math

}  // namespace cardiograd::cuda
