#include "kernels/cpu/simd.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "kernels/error.h"

namespace cardiograd {

namespace {

#if defined(__x86_64__)
bool cpu_has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool cpu_has_avx512() { return __builtin_cpu_supports("avx512f") && cpu_has_avx2(); }
#else
bool cpu_has_avx2() { return false; }
bool cpu_has_avx512() { return false; }
#endif

const SimdKernels& pick() {
  if (const char* name = std::getenv("CARDIOGRAD_SIMD"); name != nullptr && *name != '\0') {
    if (const SimdKernels* kernels = find_simd_kernels(name)) return *kernels;
    throw DeviceError("CARDIOGRAD_SIMD is \"" + std::string(name) +
                      "\", which this CPU or build lacks: use baseline, avx2 or avx512, or unset "
                      "it");
  }
  for (const char* name : {"avx512", "avx2"}) {
    if (const SimdKernels* kernels = find_simd_kernels(name)) return *kernels;
  }
  return *simd_baseline;
}

}  // namespace

const SimdKernels* find_simd_kernels(const char* name) {
  if (std::strcmp(name, "avx512") == 0 && cpu_has_avx512()) return simd_avx512;
  if (std::strcmp(name, "avx2") == 0 && cpu_has_avx2()) return simd_avx2;
  if (std::strcmp(name, "baseline") == 0) return simd_baseline;
  return nullptr;
}

const SimdKernels& simd_kernels() {
  static const SimdKernels& kernels = pick();
  return kernels;
}

}  // namespace cardiograd
