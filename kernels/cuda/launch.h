// What kernel sources are written against. The same .cu file compiles with nvcc into the product,
// and with g++ onto the execution emulator of tests/emulator, where every kernel is tested without
// a GPU. No kernel source includes a CUDA header, tests __CUDACC__ or uses a name that begins with
// two underscores; what is not listed here does not exist on the emulator and so does not compile.
//
//   CG_KERNEL(threads)     qualifies a kernel that is launched with at most that many threads a
//                          block (a compile-time constant); CG_KERNEL(threads, blocks) where the
//                          compiler is to leave registers for that many blocks a multiprocessor,
//                          and may use all that leaves
//   CG_DEVICE              qualifies a function of kernels, inlined
//   CG_HOST_DEVICE         the same, of the host's code too (constexpr functions need neither)
//   CG_SHARED(T[4][9], s)  static shared memory, 16-byte aligned; T trivial
//   CG_DYNAMIC_SHARED(T, s)  T* s: the launch's dynamic shared memory, 16-byte aligned
//   CG_UNROLL              before a loop with constant bounds
//
// and, in namespace cardiograd::cuda:
//
//   dim3, threadIdx, blockIdx, blockDim, gridDim
//   launch<kernel<T>>(grid, block, shared_bytes, stream, arguments...)      host; see launch below
//   sync_block(), sync_block_count / _or / _and(predicate), sync_warp(mask)
//   shuffle(v, lane), shuffle_xor(v, bits), shuffle_down / shuffle_up(v, n), each with mask
//   ballot(p), any_of(p), all_of(p), each with mask; lane_of(), full_warp
//   atomic_add / _min / _max / _exchange / _compare_exchange on 32- and 64-bit integers; there are
//     none on floats, because their order, and so the sum, would differ from run to run
//   memory_fence()
//   load_pack<n>(p), store_pack(p, pack): n neighbouring elements in one access; p is
//     aligned to its size (a GPU faults where it is not, the emulator says so)
//   copy_async_16(shared, global), commit_async(), wait_async<pending>(): cp.async
//   mma_bf16(d, a, b), load_matrix_x4 / _x2 (and _transposed): tensor cores (mma.sync m16n8k16)
//   mma_tf32(d, a, b) of operands that tf32_bits(v) rounded: the same in f32 (m16n8k8)
//   to_float(v), from_float<T>(v): storage to arithmetic and back; T is float or BFloat16
//   math::exp, log, log1p, tanh, erf, erfc, sqrt, rsqrt, fma, min, max; math::fast_exp,
//     math::fast_divide where 2 ulp more do not matter
//
// Philox and RandomKey (kernels/philox.h), BFloat16 (kernels/dtype.h), convert_element
// (kernels/convert.h), std::array and std::bit_cast are constexpr and work in kernels as they are.
#pragma once

#if defined(__CUDACC__)
#include "kernels/cuda/launch_device.h"
#else
#include "emulator/device.h"  // tests/emulator: on the include path of the emulated build alone
#endif
