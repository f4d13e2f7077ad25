// Each instruction set's kernels against plain loops in double.
#include "kernels/cpu/simd.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace cardiograd {
namespace {

using Floats = std::vector<float>;

Floats random_floats(std::ptrdiff_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  Floats values(static_cast<std::size_t>(count));
  for (float& value : values) value = uniform(generator);
  return values;
}

std::size_t at(std::ptrdiff_t i) { return static_cast<std::size_t>(i); }

class Simd : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    kernels_ = find_simd_kernels(GetParam());
    if (kernels_ == nullptr) GTEST_SKIP() << GetParam() << " is missing on this CPU";
  }
  std::ptrdiff_t padded(std::ptrdiff_t columns) const {
    return (columns + kernels_->lanes - 1) / kernels_->lanes * kernels_->lanes;
  }
  const SimdKernels* kernels_ = nullptr;
};

TEST_P(Simd, MultipliesOverlappingRows) {
  for (const std::ptrdiff_t columns : {1, 5, 16, 33, 48, 64, 80, 113}) {
    for (const std::ptrdiff_t rows : {1, 2, 7, 16, 25, 40}) {
      const std::ptrdiff_t taps = rows % 2 == 0 ? 1 : 3;
      const WindowRows shape{nullptr, rows, 5, taps, 11, 9};
      const Floats a = random_floats((rows - 1) * 5 + (taps - 1) * 11 + 9, 1);
      const Floats b = random_floats(taps * 9 * columns, 2);
      Floats bias = random_floats(columns, 3);
      bias.resize(at(padded(columns)));
      Floats panels(at(taps * 9 * padded(columns)), NAN);
      kernels_->pack_panels({b.data(), taps, 9 * columns, 9, columns, columns, 1}, panels.data());
      Floats c(at(rows * padded(columns)), NAN);
      WindowRows windows = shape;
      windows.data = a.data();
      kernels_->multiply_windows(windows, panels.data(), columns, bias.data(), c.data(),
                                 padded(columns));
      for (std::ptrdiff_t row = 0; row < rows; ++row) {
        for (std::ptrdiff_t column = 0; column < columns; ++column) {
          double expected = bias[at(column)];
          for (std::ptrdiff_t k = 0; k < taps * 9; ++k) {
            expected += static_cast<double>(a[at(row * 5 + k / 9 * 11 + k % 9)]) *
                        b[at(k * columns + column)];
          }
          ASSERT_NEAR(c[at(row * padded(columns) + column)], expected, 1e-5)
              << rows << " x " << columns << " at " << row << ", " << column;
        }
      }
    }
  }
}

TEST_P(Simd, AccumulatesOuterProducts) {
  for (const std::ptrdiff_t columns : {3, 16, 48, 70}) {
    for (const std::ptrdiff_t rows : {1, 13, 17, 84}) {
      const std::ptrdiff_t steps = 300;  // more than one tile
      const std::ptrdiff_t stride = padded(columns);
      const Floats a = random_floats((steps - 1) * 4 + rows, 4);
      const Floats b = random_floats(steps * stride, 5);
      const Floats start = random_floats(rows * stride, 6);
      Floats c = start;
      kernels_->accumulate_outer(a.data(), 4, rows, b.data(), stride, columns, steps, c.data(),
                                 stride);
      for (std::ptrdiff_t i = 0; i < rows * stride; ++i) {
        double expected = start[at(i)];
        for (std::ptrdiff_t t = 0; t < steps; ++t) {
          expected +=
              static_cast<double>(a[at(t * 4 + i / stride)]) * b[at(t * stride + i % stride)];
        }
        ASSERT_NEAR(c[at(i)], expected, 1e-4) << rows << " x " << columns << " at " << i;
      }
    }
  }
}

TEST_P(Simd, WorksChannelByChannel) {
  for (const std::ptrdiff_t channels : {kernels_->lanes, 3 * kernels_->lanes}) {
    for (const std::ptrdiff_t taps : {1, 5, 19}) {
      const std::ptrdiff_t rows = 21;
      const std::ptrdiff_t row_stride = 2 * channels;
      const std::ptrdiff_t tap_stride = 3 * channels;
      const Floats a =
          random_floats((rows - 1) * row_stride + (taps - 1) * tap_stride + channels, 10);
      const WindowRows windows{a.data(), rows, row_stride, taps, tap_stride, channels};
      const Floats weight = random_floats(taps * channels, 11);
      const Floats dy = random_floats(rows * channels, 12);
      Floats y(at(rows * channels), NAN);
      // The last tap first, as a data gradient reads the weights.
      kernels_->multiply_channels(windows, weight.data() + (taps - 1) * channels, -channels,
                                  nullptr, y.data());
      Floats gradient(at(taps * channels), 0.5F);
      kernels_->accumulate_channels(windows, dy.data(), gradient.data(), channels);
      std::vector<double> expected_y(y.size(), 0.0);
      std::vector<double> expected_gradient(gradient.size(), 0.5);
      for (std::ptrdiff_t i = 0; i < rows * taps * channels; ++i) {
        const std::ptrdiff_t row = i / (taps * channels);
        const std::ptrdiff_t tap = i / channels % taps;
        const std::ptrdiff_t c = i % channels;
        const double x = a[at(row * row_stride + tap * tap_stride + c)];
        expected_y[at(row * channels + c)] += x * weight[at((taps - 1 - tap) * channels + c)];
        expected_gradient[at(tap * channels + c)] += x * dy[at(row * channels + c)];
      }
      for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected_y[i], 1e-5);
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        ASSERT_NEAR(gradient[i], expected_gradient[i], 1e-5);
      }
    }
  }
}

TEST_P(Simd, PoolsAndUnpoolsTheFirstMaximum) {
  constexpr std::uint8_t dead = 255;
  for (const std::ptrdiff_t columns : {1, 16, 37}) {
    for (const std::ptrdiff_t pool : {1, 2, 3, 255}) {
      const std::ptrdiff_t rows = 4;
      const std::ptrdiff_t stride = padded(columns);
      Floats x = random_floats(rows * pool * stride, 7);
      for (float& value : x) value = std::round(value * 4);  // ties, and zeros
      Floats y(at(rows * columns), NAN);
      std::vector<std::uint8_t> winner(y.size());
      kernels_->relu_pool(x.data(), stride, rows, pool, columns, dead, y.data(), winner.data());
      const Floats dy = random_floats(rows * columns, 8);
      Floats dx(x.size(), NAN);
      Floats sums(at(columns), 1.0F);
      kernels_->relu_unpool(dy.data(), winner.data(), rows, pool, columns, dx.data(), stride,
                            sums.data());
      Floats expected_sums(at(columns), 1.0F);
      Floats expected_dx(x.size(), 0.0F);
      for (std::ptrdiff_t i = 0; i < rows * columns; ++i) {
        std::ptrdiff_t best = -1;
        float maximum = 0.0F;
        for (std::ptrdiff_t j = 0; j < pool; ++j) {
          const float value = x[at((i / columns * pool + j) * stride + i % columns)];
          if (value > maximum) {
            maximum = value;
            best = j;
          }
        }
        ASSERT_EQ(y[at(i)], maximum);
        ASSERT_EQ(winner[at(i)], best < 0 ? dead : best);
        if (best < 0) continue;
        expected_dx[at((i / columns * pool + best) * stride + i % columns)] = dy[at(i)];
        expected_sums[at(i % columns)] += dy[at(i)];
      }
      EXPECT_EQ(dx, expected_dx);
      for (std::size_t c = 0; c < sums.size(); ++c) EXPECT_NEAR(sums[c], expected_sums[c], 1e-5);
    }
  }
}

TEST_P(Simd, LetsNaNWinTheMaximum) {
  const std::ptrdiff_t columns = kernels_->lanes + 1;  // a whole vector, and a column beyond it
  Floats x(at(3 * columns), 2.0F);
  for (std::ptrdiff_t c = 0; c < columns; ++c) {
    x[at(columns + c)] = std::numeric_limits<float>::quiet_NaN();
    x[at(2 * columns + c)] = std::numeric_limits<float>::quiet_NaN();
  }
  Floats y(at(columns));
  std::vector<std::uint8_t> winner(at(columns));
  kernels_->relu_pool(x.data(), columns, 1, 3, columns, 255, y.data(), winner.data());
  for (std::ptrdiff_t c = 0; c < columns; ++c) {
    EXPECT_TRUE(std::isnan(y[at(c)]));
    EXPECT_EQ(winner[at(c)], 1);
  }
}

TEST_P(Simd, SumsRows) {
  const Floats x = random_floats(50 * 21, 9);
  Floats sums(21, 0.5F);
  kernels_->sum_rows(x.data(), 50, 21, sums.data());
  for (std::size_t c = 0; c < sums.size(); ++c) {
    double expected = 0.5;
    for (std::size_t row = 0; row < 50; ++row) expected += x[row * 21 + c];
    EXPECT_NEAR(sums[c], expected, 1e-5);
  }
}

INSTANTIATE_TEST_SUITE_P(Each, Simd, testing::Values("baseline", "avx2", "avx512"),
                         [](const auto& test) { return std::string(test.param); });

TEST(SimdChoice, KnowsNoOtherSet) {
  EXPECT_EQ(find_simd_kernels("sse9"), nullptr);
  EXPECT_NE(find_simd_kernels(simd_kernels().name), nullptr);
}

}  // namespace
}  // namespace cardiograd
