// The discrete wavelet transform with Daubechies' orthonormal wavelets and symmetric extension
// (half-sample: ... x1 x0 | x0 x1 ...), equal to PyWavelets' wavedec and waverec; and denoising by
// it: transform, set small coefficients to zero, transform back (Donoho & Johnstone, "Ideal spatial
// adaptation by wavelet shrinkage", Biometrika 81(3), 1994).
//
// Source: I. Daubechies, "Ten Lectures on Wavelets", SIAM 1992, chapters 5 and 6 (filters: table
// 6.1); S. Mallat, "A theory for multiresolution signal decomposition", IEEE PAMI 11(7), 1989 (the
// cascade). dbN has 2 N taps and N vanishing moments.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace cardiograd {

inline constexpr int most_vanishing_moments = 8;

class Wavelet {
 public:
  // db1 (Haar) to db8. Throws InputError for another number.
  explicit Wavelet(int vanishing_moments);

  std::int64_t taps() const { return static_cast<std::int64_t>(scaling_.size()); }
  // The synthesis low-pass filter h, sum sqrt(2); the high-pass one is g[k] = (-1)^k h[taps-1-k].
  std::span<const double> scaling() const { return scaling_; }
  // The largest number of levels at which a coefficient of the coarsest one is not made of the
  // extension alone: floor(log2(length / (taps - 1))), at least 0.
  int most_levels(std::int64_t length) const;

  // One level: both outputs have floor((length + taps - 1) / 2) values.
  void analyse(std::span<const double> x, std::vector<double>& approximation,
               std::vector<double>& detail) const;
  // Its inverse, of 2 n - taps + 2 values for n coefficients each: what analyse was given, and one
  // value more where that length was odd.
  std::vector<double> synthesise(std::span<const double> approximation,
                                 std::span<const double> detail) const;

 private:
  std::vector<double> scaling_, wavelet_;  // h and g
};

struct WaveletCoefficients {
  std::vector<double> approximation;         // the coarsest level's
  std::vector<std::vector<double>> details;  // finest first
  std::int64_t length = 0;                   // of the signal
};

// Throws InputError where levels is below 1 or the signal is empty.
WaveletCoefficients decompose(const Wavelet& wavelet, std::span<const double> x, int levels);
std::vector<double> reconstruct(const Wavelet& wavelet, const WaveletCoefficients& coefficients);

// One lead, in float64: what Backend::wavelet_denoise does. Throws as check_wavelet.
std::vector<double> wavelet_denoise(const WaveletDenoiseSpec& spec, std::span<const double> x);

// Throws InputError where there is no such wavelet, or the signal is too short for the levels.
void check_wavelet(const WaveletDenoiseSpec& spec, std::int64_t length);

}  // namespace cardiograd
