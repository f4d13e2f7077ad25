#include "data/denoise.h"

#include <cmath>
#include <gtest/gtest.h>
#include <random>

#include "data/wfdb.h"
#include "kernels/wavelet.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;

// What makes h the filter of dbN (Daubechies 1992): sum sqrt(2), orthonormal to its even shifts,
// and a high-pass twin that sees no polynomial below degree N.
TEST(Wavelet, FiltersAreOrthonormalWithTheirVanishingMoments) {
  for (int moments = 1; moments <= most_vanishing_moments; ++moments) {
    const Wavelet wavelet(moments);
    const std::span<const double> h = wavelet.scaling();
    ASSERT_EQ(h.size(), 2 * static_cast<std::size_t>(moments));
    for (std::size_t shift = 0; shift < h.size(); shift += 2) {
      double product = 0.0;
      for (std::size_t k = 0; k + shift < h.size(); ++k) product += h[k] * h[k + shift];
      EXPECT_NEAR(product, shift == 0 ? 1.0 : 0.0, 1e-12) << "db" << moments;
    }
    for (int degree = 0; degree < moments; ++degree) {
      double moment = 0.0, magnitude = 0.0;
      for (std::size_t k = 0; k < h.size(); ++k) {
        const double term = std::pow(static_cast<double>(k), degree) * h[k];
        moment += k % 2 == 0 ? term : -term;
        magnitude += std::abs(term);
      }
      EXPECT_NEAR(moment / magnitude, 0.0, 1e-11) << "db" << moments << ", degree " << degree;
    }
  }
  EXPECT_EQ(error_of([] { Wavelet(9); }), "there is no wavelet db9 here; known are db1 to db8");
}

TEST(Wavelet, AShortSignalComesBack) {
  for (int moments = 1; moments <= most_vanishing_moments; ++moments) {
    for (std::size_t length = 1; length < 40; ++length) {
      std::vector<double> x;
      for (std::size_t t = 0; t < length; ++t) x.push_back(std::sin(1.7 * static_cast<double>(t)));
      const Wavelet wavelet(moments);
      const std::vector<double> back = reconstruct(wavelet, decompose(wavelet, x, 2));
      ASSERT_EQ(back.size(), length);
      for (std::size_t t = 0; t < length; ++t) EXPECT_NEAR(back[t], x[t], 1e-11);
    }
  }
}

TEST(Denoise, ReadsItsSpecification) {
  const auto read = [](const char* text) { return parse_denoise(text, "--denoise"); };
  EXPECT_EQ(read("db4"), (DenoiseSpec{4, 3, false, 0.1}));
  EXPECT_EQ(read("db2,mode=soft,factor=2.5,levels=1"), (DenoiseSpec{2, 1, true, 2.5}));
  EXPECT_EQ(read("db4").to_string(), "db4,levels=3,mode=hard,factor=0.1");
  const DenoiseSpec odd{8, 2, true, 0.05};
  EXPECT_EQ(read(odd.to_string().c_str()), odd);
  const std::string end =
      "; a denoising reads \"db4,levels=3,mode=hard,factor=0.1\", of which all but the wavelet may "
      "be left out";
  EXPECT_EQ(error_of([&] { read("haar"); }),
            "--denoise: there is no wavelet \"haar\", known are db1 to db8" + end);
  EXPECT_EQ(error_of([&] { read(""); }),
            "--denoise: there is no wavelet \"\", known are db1 to db8" + end);
  for (const char* part : {"levels=0", "levels=3x", "mode=firm", "factor=-1", "factor=inf", "x"}) {
    EXPECT_EQ(error_of([&] { parse_denoise(std::string("db4,") + part, "--denoise"); }),
              "--denoise: \"" + std::string(part) + "\" is not understood" + end);
  }
}

std::vector<std::int16_t> noisy_record(std::int64_t length, std::int64_t leads) {
  std::mt19937 random(3);
  std::normal_distribution<double> noise(0.0, 30.0);
  std::vector<std::int16_t> samples;
  for (std::int64_t t = 0; t < length; ++t) {
    for (std::int64_t lead = 0; lead < leads; ++lead) {
      const double clean = 1000.0 * std::sin(0.06 * static_cast<double>(t + 5 * lead));
      samples.push_back(static_cast<std::int16_t>(std::lrint(clean + noise(random))));
    }
  }
  return samples;
}

double error_against_clean(const std::vector<std::int16_t>& samples, std::int64_t leads) {
  double sum = 0.0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const double clean =
        1000.0 * std::sin(0.06 * static_cast<double>(at / leads + 5 * (at % leads)));
    sum += (samples[i] - clean) * (samples[i] - clean);
  }
  return std::sqrt(sum / static_cast<double>(samples.size()));
}

TEST(Denoise, TakesNoiseOffEachLead) {
  const std::vector<std::int16_t> noisy = noisy_record(1000, 3);
  std::vector<std::int16_t> clean = noisy;
  // Donoho and Johnstone's universal threshold.
  denoise_record({4, 3, false, std::sqrt(2 * std::log(1000.0)) / 0.6745}, 3, clean);
  EXPECT_GT(error_against_clean(noisy, 3), 28.0);
  EXPECT_LT(error_against_clean(clean, 3), 15.0);
}

TEST(Denoise, AThresholdOfNothingChangesNothing) {
  const std::vector<std::int16_t> noisy = noisy_record(1000, 2);
  std::vector<std::int16_t> same = noisy;
  denoise_record({4, 3, false, 0.0}, 2, same);
  EXPECT_EQ(same, noisy);
}

TEST(Denoise, MissingSamplesStayMissingAndSpoilNothing) {
  const std::vector<std::int16_t> noisy = noisy_record(500, 3);
  std::vector<std::int16_t> holes = noisy;
  for (std::size_t t = 0; t < 500; ++t) {
    if (t < 4 || (t >= 100 && t < 110) || t >= 495) holes[3 * t + 1] = missing_sample;
    holes[3 * t + 2] = missing_sample;
  }
  std::vector<std::int16_t> clean = holes, whole = noisy;
  denoise_record({4, 3, false, 3.0}, 3, clean);
  denoise_record({4, 3, false, 3.0}, 3, whole);
  for (std::size_t t = 0; t < 500; ++t) {
    EXPECT_EQ(clean[3 * t], whole[3 * t]) << "another lead's holes";
    EXPECT_EQ(clean[3 * t + 1] == missing_sample, holes[3 * t + 1] == missing_sample);
    EXPECT_EQ(clean[3 * t + 2], missing_sample);
    if (holes[3 * t + 1] != missing_sample) {
      EXPECT_NEAR(clean[3 * t + 1], noisy[3 * t + 1], 150);
    }
  }
}

TEST(Denoise, LargeSamplesNeverBecomeMissing) {
  std::vector<std::int16_t> samples;
  for (int t = 0; t < 200; ++t) samples.push_back(t % 2 == 0 ? INT16_MAX : INT16_MIN + 1);
  denoise_record({4, 3, true, 0.9}, 1, samples);
  for (const std::int16_t sample : samples) EXPECT_NE(sample, missing_sample);
}

TEST(Denoise, RefusesARecordThatIsTooShort) {
  std::vector<std::int16_t> samples(40, 1);
  EXPECT_EQ(error_of([&] {
              denoise_record({4, 3, false, 0.1}, 1, samples);
            }),
            "a signal of 40 samples is too short for 3 levels of db4");
}

TEST(Denoise, IsTheOperationOfTheCpu) {
  constexpr std::int64_t length = 250;
  constexpr std::int64_t leads = 3;
  const std::shared_ptr<Backend> cpu = make_backend("cpu");
  std::vector<float> x;
  for (std::int64_t i = 0; i < length * leads; ++i) {
    x.push_back(static_cast<float>(std::sin(0.1 * static_cast<double>(i)) + 0.01 * (i % 7)));
  }
  std::vector<float> y(x.size());
  const Dims dims{1, length, leads};
  for (const WaveletDenoiseSpec& spec :
       {WaveletDenoiseSpec{}, WaveletDenoiseSpec{2, 2, true, 1.5}}) {
    cpu->wavelet_denoise(spec, {x.data(), DType::f32, dims}, {y.data(), DType::f32, dims});
    for (std::int64_t lead = 0; lead < leads; ++lead) {
      std::vector<double> signal;
      for (std::int64_t t = 0; t < length; ++t) {
        signal.push_back(x[static_cast<std::size_t>(t * leads + lead)]);
      }
      const std::vector<double> clean = wavelet_denoise(spec, signal);
      for (std::int64_t t = 0; t < length; ++t) {
        EXPECT_EQ(y[static_cast<std::size_t>(t * leads + lead)],
                  static_cast<float>(clean[static_cast<std::size_t>(t)]));
      }
    }
  }
  EXPECT_EQ(
      error_of([&] {
        cpu->wavelet_denoise({8, 5}, {x.data(), DType::f32, dims}, {y.data(), DType::f32, dims});
      }),
      "a signal of 250 samples is too short for 5 levels of db8");
}

}  // namespace
}  // namespace cardiograd
