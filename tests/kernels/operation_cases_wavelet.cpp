// Cases of wavelet denoising.
#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

OperationCase wavelet_case(const Dims& x, const WaveletDenoiseSpec& spec) {
  OperationCase each{
      spec.to_string() + " " + x.to_string(), {}, [=](Backend& backend, const BoundOperands& o) {
        backend.wavelet_denoise(spec, o["x"], o["y"]);
      }};
  return each.input("x", x).output("y", x);
}

}  // namespace

std::vector<OperationCase> wavelet_denoise_cases() {
  std::vector<OperationCase> cases;
  for (int moments = 1; moments <= 8; ++moments) {
    // As short as one level allows, then odd lengths in the middle of the cascade.
    const std::int64_t shortest = 2 * (2 * moments - 1);
    cases.push_back(wavelet_case({2, shortest, 3}, {moments, 1, moments % 2 == 0, 0.5}));
    cases.push_back(wavelet_case({1, 4 * shortest + 1, 1}, {moments, 3, moments % 2 == 1, 1.0}));
  }
  for (const bool soft : {false, true}) {
    cases.push_back(wavelet_case({2, 250, 12}, {4, 3, soft, 0.1}));
    cases.push_back(wavelet_case({1, 123, 5}, {4, 3, soft, 2.0}));
    cases.push_back(wavelet_case({1, 64, 4}, {1, 6, soft, 0.0}));
  }
  cases.push_back(wavelet_case({1, 3, 1}, {1, 1, false, 100.0}));  // nothing stays
  cases.push_back(wavelet_case({1, 9000, 1}, {2, 2, true, 1.0}));  // four leads would not fit
  cases.push_back(wavelet_case({0, 100, 12}, {}));
  cases.push_back(wavelet_case({2, 0, 12}, {}));
  cases.push_back(wavelet_case({2, 100, 0}, {}));
  return cases;
}

}  // namespace cardiograd::cases
