// The SIMD kernels for every CPU of the target architecture.
#define CARDIOGRAD_SIMD_NAMESPACE baseline_tier
#define CARDIOGRAD_SIMD_NAME "baseline"
#define CARDIOGRAD_SIMD_LANES 4
#define CARDIOGRAD_SIMD_ROWS_1 8
#define CARDIOGRAD_SIMD_ROWS_2 6
#define CARDIOGRAD_SIMD_ROWS_3 4
#define CARDIOGRAD_SIMD_ROWS_4 3
#include "kernels/cpu/simd_kernels.inl"

namespace cardiograd {
const SimdKernels* const simd_baseline = &baseline_tier::kernels;
}
