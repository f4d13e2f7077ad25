// db1 .. db8 against PyWavelets: coefficients, reconstruction, hard and soft denoising.
#include "kernels/wavelet.h"

#include <cmath>
#include <gtest/gtest.h>

#include "data/denoise.h"
#include "nn/safetensors.h"

namespace cardiograd {
namespace {

constexpr int levels = 3;
constexpr double tolerance =
    1e-12;  // both compute in float64; PyWavelets' own error is of this size

class Wavelets : public ::testing::Test {
 protected:
  std::vector<double> golden(const std::string& name) const {
    const ConstView view = file_.view(name);
    const auto* values = view.as<double>();
    return {values, values + view.numel()};
  }
  static void expect_equal(const std::vector<double>& actual, const std::vector<double>& expected,
                           const std::string& name) {
    ASSERT_EQ(actual.size(), expected.size()) << name;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], tolerance) << name << "[" << i << "]";
    }
  }

  SafetensorsFile file_{CARDIOGRAD_SOURCE_DIR "/tests/golden/data/wavelet.safetensors"};
};

TEST_F(Wavelets, GiveTheCoefficientsOfPyWavelets) {
  for (const char* length : {"250", "123"}) {
    const std::vector<double> x = golden(std::string(length) + ".x");
    for (int moments = 1; moments <= most_vanishing_moments; ++moments) {
      const Wavelet wavelet(moments);
      const std::string name = "db" + std::to_string(moments) + "." + length;
      const WaveletCoefficients coefficients = decompose(wavelet, x, levels);
      std::vector<double> all = coefficients.approximation;
      for (auto it = coefficients.details.rbegin(); it != coefficients.details.rend(); ++it) {
        all.insert(all.end(), it->begin(), it->end());
      }
      expect_equal(all, golden(name + ".coefficients"), name);
      expect_equal(reconstruct(wavelet, coefficients), x, name + ", there and back");
    }
  }
}

TEST_F(Wavelets, DenoiseAsPyWaveletsThresholds) {
  for (const char* length : {"250", "123"}) {
    const std::vector<double> x = golden(std::string(length) + ".x");
    for (int moments = 1; moments <= most_vanishing_moments; ++moments) {
      const std::string name = "db" + std::to_string(moments) + "." + length;
      expect_equal(wavelet_denoise({moments, levels, false, 0.1}, x), golden(name + ".hard"), name);
      expect_equal(wavelet_denoise({moments, levels, true, 1.5}, x), golden(name + ".soft"), name);
    }
  }
}

}  // namespace
}  // namespace cardiograd
