// Nearest upsampling along time: each step `factor` times over.
#include <algorithm>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {
namespace {

void check_upsampling(std::int64_t factor, const Dims& x, const Dims& y) {
  CG_CHECK(factor >= 1 && x.rank() == 3 && y.rank() == 3 && y[0] == x[0] && y[1] == factor * x[1] &&
               y[2] == x[2],
           "upsample_nearest by " + std::to_string(factor) + ": x " + x.to_string() + " and y " +
               y.to_string() + " do not fit");
}

}  // namespace

void CpuBackend::upsample_nearest_forward(std::int64_t factor, ConstView x, View y) {
  require_f32("upsample_nearest", {x, y});
  check_upsampling(factor, x.dims, y.dims);
  const std::int64_t c = x.dims[2];
  parallel_rows(x.dims[0] * x.dims[1], factor * c, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t i = 0; i < factor; ++i) {
        std::copy_n(floats(x) + row * c, c, floats(y) + (row * factor + i) * c);
      }
    }
  });
}

void CpuBackend::upsample_nearest_backward(std::int64_t factor, ConstView dy, View dx) {
  require_f32("upsample_nearest", {dy, dx});
  check_upsampling(factor, dx.dims, dy.dims);
  const std::int64_t c = dx.dims[2];
  parallel_rows(dx.dims[0] * dx.dims[1], factor * c, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      float* sum = floats(dx) + row * c;
      std::copy_n(floats(dy) + row * factor * c, c, sum);
      for (std::int64_t i = 1; i < factor; ++i) {
        const float* step = floats(dy) + (row * factor + i) * c;
        for (std::int64_t j = 0; j < c; ++j) sum[j] += step[j];
      }
    }
  });
}

}  // namespace cardiograd
