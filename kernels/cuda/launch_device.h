// launch.h for nvcc: each name becomes CUDA's own.
#pragma once

#include <concepts>
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <type_traits>

#include "kernels/cuda/kernel_name.h"
#include "kernels/cuda/pack.h"
#include "kernels/cuda/runtime.h"
#include "kernels/dtype.h"

#define CG_KERNEL(...) __global__ __launch_bounds__(__VA_ARGS__)
#define CG_DEVICE __device__ __forceinline__
#define CG_HOST_DEVICE __host__ __device__ __forceinline__
#define CG_UNROLL _Pragma("unroll")
#define CG_SHARED(type, name) __shared__ alignas(16)::std::type_identity_t<type> name
#define CG_DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char cg_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(cg_dynamic_shared)

namespace cardiograd::cuda {

using ::dim3;

// ---- Launching ----------------------------------------------------------------------------------

// Starts kernel(arguments...) on `stream`. A grid of no blocks does nothing. Throws DeviceError
// that names the kernel when the launch fails; with CARDIOGRAD_CUDA_DEBUG=1 in the environment it
// waits for the kernel, so that what goes wrong inside surfaces here.
template <auto kernel, class... Arguments>
void launch(dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr std::size_t always_there = 48 * 1024;
  if (shared_bytes > always_there) {
    check_launch(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shared_bytes)),
                 kernel_name<kernel>);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  check_launch(cudaLaunchKernelEx(&config, kernel, arguments...), kernel_name<kernel>);
  if (synchronises_launches()) {
    check_launch(cudaStreamSynchronize(config.stream), kernel_name<kernel>);
  }
}

// ---- Threads of a block and of a warp -----------------------------------------------------------

inline constexpr std::uint32_t full_warp = 0xffffffffU;

CG_DEVICE int lane_of() {
  return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) %
                          32U);
}

CG_DEVICE void sync_block() { __syncthreads(); }
CG_DEVICE int sync_block_count(bool predicate) { return __syncthreads_count(predicate); }
CG_DEVICE bool sync_block_or(bool predicate) { return __syncthreads_or(predicate) != 0; }
CG_DEVICE bool sync_block_and(bool predicate) { return __syncthreads_and(predicate) != 0; }
CG_DEVICE void sync_warp(std::uint32_t mask = full_warp) { __syncwarp(mask); }
CG_DEVICE void memory_fence() { __threadfence(); }

template <class T>
CG_DEVICE T shuffle(T value, int lane, std::uint32_t mask = full_warp) {
  return __shfl_sync(mask, value, lane);
}
template <class T>
CG_DEVICE T shuffle_xor(T value, int bits, std::uint32_t mask = full_warp) {
  return __shfl_xor_sync(mask, value, bits);
}
template <class T>
CG_DEVICE T shuffle_down(T value, int distance, std::uint32_t mask = full_warp) {
  return __shfl_down_sync(mask, value, static_cast<unsigned>(distance));
}
template <class T>
CG_DEVICE T shuffle_up(T value, int distance, std::uint32_t mask = full_warp) {
  return __shfl_up_sync(mask, value, static_cast<unsigned>(distance));
}
CG_DEVICE std::uint32_t ballot(bool predicate, std::uint32_t mask = full_warp) {
  return __ballot_sync(mask, predicate);
}
CG_DEVICE bool any_of(bool predicate, std::uint32_t mask = full_warp) {
  return __any_sync(mask, predicate) != 0;
}
CG_DEVICE bool all_of(bool predicate, std::uint32_t mask = full_warp) {
  return __all_sync(mask, predicate) != 0;
}

// ---- Atomics on integers ------------------------------------------------------------------------

template <class T>
concept AtomicInteger =
    std::same_as<T, int> || std::same_as<T, unsigned> || std::same_as<T, unsigned long long>;

template <AtomicInteger T>
CG_DEVICE T atomic_add(T* p, T value) {
  return atomicAdd(p, value);
}
template <AtomicInteger T>
CG_DEVICE T atomic_min(T* p, T value) {
  return atomicMin(p, value);
}
template <AtomicInteger T>
CG_DEVICE T atomic_max(T* p, T value) {
  return atomicMax(p, value);
}
template <AtomicInteger T>
CG_DEVICE T atomic_exchange(T* p, T value) {
  return atomicExch(p, value);
}
template <AtomicInteger T>
CG_DEVICE T atomic_compare_exchange(T* p, T expected, T value) {
  return atomicCAS(p, expected, value);
}

// ---- Copies that do not pass through registers --------------------------------------------------

CG_DEVICE std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

// 16 bytes from global to shared memory, both 16-byte aligned; there after wait_async and a
// barrier.
CG_DEVICE void copy_async_16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)),
               "l"(global)
               : "memory");
}
// Closes a group of copies.
CG_DEVICE void commit_async() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most the `pending` youngest groups of this thread are under way.
template <int pending>
CG_DEVICE void wait_async() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// ---- Tensor cores -------------------------------------------------------------------------------

// d += a b: a [16, 16] and b [16, 8] of bf16, d [16, 8] of f32, spread over the warp's registers as
// PTX's mma.sync.m16n8k16 has them. With g = lane / 4 and t = lane % 4, two bf16 a register, the
// lower half first:
//   a[0]: (g, 2t..2t+1)  a[1]: (g + 8, 2t..)  a[2]: (g, 2t + 8..)  a[3]: (g + 8, 2t + 8..)
//   b[0]: (2t..2t+1, g)  b[1]: (2t + 8.., g)
//   d[0..1]: (g, 2t..2t+1)  d[2..3]: (g + 8, 2t..2t+1)
CG_DEVICE void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// A value rounded to TF32, f32 with 10 bits of mantissa, as mma_tf32 wants its operands: to
// nearest, ties away from zero.
CG_DEVICE std::uint32_t tf32_bits(float value) {
  std::uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return rounded;
}

// d += a b: a [16, 8] and b [8, 8] of TF32, d as above (mma.sync.m16n8k8):
//   a[0]: (g, t)  a[1]: (g + 8, t)  a[2]: (g, t + 4)  a[3]: (g + 8, t + 4)
//   b[0]: (t, g)  b[1]: (t + 4, g)
CG_DEVICE void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Loads n 8 x 8 matrices of 16-bit elements from shared memory into fragments (ldmatrix): lane
// 8 i + r gives the address of row r of matrix i, 16 bytes each, 16-byte aligned; register i of
// lane l holds the elements (l / 4, 2 (l % 4)..) of matrix i, or of its transpose. With x2, the
// addresses of lanes 16 to 31 are not used. Of 8 x 4 matrices of 32 bits, register i of lane l so
// gets the element (l / 4, l % 4).
CG_DEVICE void load_matrix_x4(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
CG_DEVICE void load_matrix_x4_transposed(std::uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
CG_DEVICE void load_matrix_x2(std::uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
CG_DEVICE void load_matrix_x2_transposed(std::uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}

// ---- Elements and functions ---------------------------------------------------------------------

template <int n, class T>
CG_DEVICE Pack<T, n> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, n>*>(p);
}
template <int n, class T>
CG_DEVICE void store_pack(T* p, const Pack<T, n>& pack) {
  *reinterpret_cast<Pack<T, n>*>(p) = pack;
}

CG_DEVICE float to_float(float value) { return value; }
CG_DEVICE float to_float(BFloat16 value) { return static_cast<float>(value); }
template <class T>
CG_DEVICE T from_float(float value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    BFloat16 rounded;
    rounded.bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
    return rounded;
  } else {
    return value;
  }
}

namespace math {

CG_DEVICE float exp(float x) { return expf(x); }
CG_DEVICE float log(float x) { return logf(x); }
CG_DEVICE float log1p(float x) { return log1pf(x); }
CG_DEVICE float tanh(float x) { return tanhf(x); }
CG_DEVICE float erf(float x) { return erff(x); }
CG_DEVICE float erfc(float x) { return erfcf(x); }
CG_DEVICE float sqrt(float x) { return sqrtf(x); }
CG_DEVICE float rsqrt(float x) { return rsqrtf(x); }
CG_DEVICE float fma(float a, float b, float c) { return fmaf(a, b, c); }
CG_DEVICE float min(float a, float b) { return fminf(a, b); }
CG_DEVICE float max(float a, float b) { return fmaxf(a, b); }
CG_DEVICE float fast_exp(float x) { return __expf(x); }
CG_DEVICE float fast_divide(float a, float b) { return __fdividef(a, b); }

}  // namespace math

}  // namespace cardiograd::cuda
