#include "kernels/cpu/peak.h"

#include <algorithm>
#include <omp.h>

#include "kernels/cpu/simd.h"

namespace cardiograd {

double measure_cpu_peak(int threads) {
  constexpr int tries = 7;
  constexpr ptrdiff_t rounds = 2'000'000;
  const SimdKernels& simd = simd_kernels();
  double best = 0.0;
  for (int attempt = 0; attempt < tries; ++attempt) {
    double operations = 0.0;
    float sink = 0.0F;
    const double begin = omp_get_wtime();
#pragma omp parallel num_threads(threads) reduction(+ : operations, sink)
    {
      double mine = 0.0;
      sink += simd.spin_multiply_add(rounds, &mine);
      operations += mine;
    }
    const double seconds = omp_get_wtime() - begin;
    if (sink > 0.0F) best = std::max(best, operations / seconds);
  }
  return best;
}

}  // namespace cardiograd
