// The SIMD kernels for x86-64 with AVX2 and FMA; kernels/CMakeLists.txt sets the flags of this
// file.
#if defined(__AVX2__) && defined(__FMA__)
#define CARDIOGRAD_SIMD_NAMESPACE avx2_tier
#define CARDIOGRAD_SIMD_NAME "avx2"
#define CARDIOGRAD_SIMD_LANES 8
#define CARDIOGRAD_SIMD_ROWS_1 8
#define CARDIOGRAD_SIMD_ROWS_2 6
#define CARDIOGRAD_SIMD_ROWS_3 4
#define CARDIOGRAD_SIMD_ROWS_4 3
#include "kernels/cpu/simd_kernels.inl"

namespace cardiograd {
const SimdKernels* const simd_avx2 = &avx2_tier::kernels;
}
#else
#include "kernels/cpu/simd.h"

namespace cardiograd {
const SimdKernels* const simd_avx2 = nullptr;
}
#endif
