// The SIMD kernels for x86-64 with AVX-512F; kernels/CMakeLists.txt sets the flags of this
// file.
#if defined(__AVX512F__)
#define CARDIOGRAD_SIMD_NAMESPACE avx512_tier
#define CARDIOGRAD_SIMD_NAME "avx512"
#define CARDIOGRAD_SIMD_LANES 16
#define CARDIOGRAD_SIMD_ROWS_1 16
#define CARDIOGRAD_SIMD_ROWS_2 12
#define CARDIOGRAD_SIMD_ROWS_3 8
#define CARDIOGRAD_SIMD_ROWS_4 6
#include "kernels/cpu/simd_kernels.inl"

namespace cardiograd {
const SimdKernels* const simd_avx512 = &avx512_tier::kernels;
}
#else
#include "kernels/cpu/simd.h"

namespace cardiograd {
const SimdKernels* const simd_avx512 = nullptr;
}
#endif
