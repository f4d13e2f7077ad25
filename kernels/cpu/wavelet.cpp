// Wavelet denoising: a lead at a time, in float64 as when records are prepared.
#include "kernels/wavelet.h"

#include "kernels/cpu/checks.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {

void CpuBackend::wavelet_denoise(const WaveletDenoiseSpec& spec, ConstView x, View y) {
  require_f32("wavelet_denoise", {x, y});
  require_same_shape("wavelet_denoise", x.dims, y.dims);
  CG_CHECK(x.dims.rank() == 3, "wavelet_denoise: records are [N, L, C], got " + x.dims.to_string());
  if (x.numel() == 0) return;
  const std::int64_t length = x.dims[1];
  const std::int64_t leads = x.dims[2];
  check_wavelet(spec, length);  // here, because no exception leaves a parallel loop
  parallel_rows(x.dims[0] * leads, length, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> lead(static_cast<std::size_t>(length));
    for (std::int64_t item = begin; item < end; ++item) {
      const std::int64_t first = item / leads * length * leads + item % leads;
      for (std::int64_t t = 0; t < length; ++t) {
        lead[static_cast<std::size_t>(t)] = floats(x)[first + t * leads];
      }
      const std::vector<double> clean = cardiograd::wavelet_denoise(spec, lead);
      for (std::int64_t t = 0; t < length; ++t) {
        floats(y)[first + t * leads] = static_cast<float>(clean[static_cast<std::size_t>(t)]);
      }
    }
  });
}

}  // namespace cardiograd
