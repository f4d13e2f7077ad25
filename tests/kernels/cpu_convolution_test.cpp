// What the CPU's convolutions promise beyond their values.
#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <omp.h>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/conv1d_direct.h"

namespace cardiograd {
namespace {

using Floats = std::vector<float>;

Floats random_floats(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  Floats values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

View view(Floats& values, const Dims& dims) { return {values.data(), DType::f32, dims}; }

// Gradients of the fused operation for one fixed input, with so many threads.
struct Gradients {
  Floats y, dx, dweight, dbias;
  bool operator==(const Gradients&) const = default;
};

Gradients fused_step(int threads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  const auto backend = make_backend("cpu");
  const Dims in{37, 60, 12};
  const Dims taps{7, 12, 16};
  const Dims out{37, 27, 16};
  Floats x = random_floats(static_cast<std::size_t>(in.numel()), 1);
  Floats weight = random_floats(static_cast<std::size_t>(taps.numel()), 2);
  Floats bias = random_floats(16, 3);
  Floats dy = random_floats(static_cast<std::size_t>(out.numel()), 4);
  std::vector<std::uint8_t> winner(dy.size());
  Gradients result{Floats(dy.size()), Floats(x.size()), Floats(weight.size()), Floats(16)};
  const View winners{winner.data(), DType::u8, out};
  backend->conv1d_relu_maxpool_forward({}, 2, view(x, in), view(weight, taps), view(bias, {16}),
                                       view(result.y, out), winners);
  backend->conv1d_relu_maxpool_backward({}, 2, view(x, in), view(weight, taps), winners,
                                        view(dy, out), view(result.dx, in),
                                        view(result.dweight, taps), view(result.dbias, {16}));
  omp_set_num_threads(before);
  return result;
}

TEST(CpuConvolution, BitsDoNotDependOnTheThreadCount) {
  const Gradients one = fused_step(1);
  for (const int threads : {2, 3, 8}) EXPECT_EQ(fused_step(threads), one) << threads;
}

// Depthwise with 32 channels runs on our own kernels; 20 channels, no whole number of vectors
// everywhere, may run on oneDNN. Both against the definition.
TEST(CpuConvolution, DepthwiseAgreesWithItsDefinition) {
  const auto backend = make_backend("cpu");
  for (const std::int64_t channels : {32, 20}) {
    const std::int64_t length = 111;
    const Dims dims{2, length, channels};
    const Conv1dSpec spec{1, 6, 2, channels};
    Floats x = random_floats(static_cast<std::size_t>(dims.numel()), 5);
    Floats dy = random_floats(x.size(), 6);
    Floats weight = random_floats(static_cast<std::size_t>(7 * channels), 7);
    Floats y(x.size()), dx(x.size()), dweight(weight.size());
    const Dims taps{7, 1, channels};
    backend->conv1d_forward(spec, view(x, dims), view(weight, taps), {}, view(y, dims));
    backend->conv1d_backward_data(spec, view(dy, dims), view(weight, taps), view(dx, dims));
    backend->conv1d_backward_weight(spec, view(x, dims), view(dy, dims), view(dweight, taps), {});
    std::vector<double> expected_y(x.size()), expected_dx(x.size()), expected(weight.size());
    for (std::int64_t i = 0; i < dims.numel(); ++i) {
      for (std::int64_t j = 0; j < 7; ++j) {
        const std::int64_t step = i / channels % length + 2 * j - 6;
        if (step < 0 || step >= length) continue;
        const auto from = static_cast<std::size_t>(i + (2 * j - 6) * channels);
        const auto to = static_cast<std::size_t>(i);
        const auto tap = static_cast<std::size_t>(j * channels + i % channels);
        expected_y[to] += static_cast<double>(x[from]) * weight[tap];
        expected_dx[from] += static_cast<double>(dy[to]) * weight[tap];
        expected[tap] += static_cast<double>(dy[to]) * x[from];
      }
    }
    for (std::size_t i = 0; i < y.size(); ++i) {
      ASSERT_NEAR(y[i], expected_y[i], 1e-5);
      ASSERT_NEAR(dx[i], expected_dx[i], 1e-5);
    }
    for (std::size_t i = 0; i < dweight.size(); ++i) ASSERT_NEAR(dweight[i], expected[i], 1e-4);
  }
}

TEST(CpuConvolution, NaNReachesThePooledOutput) {
  const auto backend = make_backend("cpu");
  Floats x(8, 1.0F);
  x[5] = NAN;
  Floats weight{1.0F};
  Floats y(4);
  std::vector<std::uint8_t> winner(4);
  backend->conv1d_relu_maxpool_forward({}, 2, view(x, {1, 8, 1}), view(weight, {1, 1, 1}), {},
                                       view(y, {1, 4, 1}), {winner.data(), DType::u8, {1, 4, 1}});
  EXPECT_EQ(y[1], 1.0F);
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_EQ(winner, (std::vector<std::uint8_t>{0, 0, 1, 0}));
}

TEST(CpuConvolution, AllocatesNothingAfterTheFirstStep) {
  BlockCache blocks;
  const Conv1dShape shape{5, 40, 3, 5, 7, 36, {}};
  const Floats x = random_floats(5 * 40 * 3, 1);
  const Floats weight = random_floats(5 * 3 * 7, 2);
  const Floats dy = random_floats(5 * 36 * 7, 3);
  Floats y(dy.size()), dx(x.size()), dweight(weight.size());
  std::size_t kept = 0;
  for (int step = 0; step < 3; ++step) {
    direct_forward(blocks, shape, x.data(), weight.data(), nullptr, y.data());
    direct_backward_data(blocks, shape, dy.data(), weight.data(), dx.data());
    direct_backward_weight(blocks, shape, x.data(), dy.data(), dweight.data(), nullptr);
    if (step == 0) kept = blocks.bytes_kept();
  }
  EXPECT_EQ(blocks.bytes_kept(), kept);
  EXPECT_EQ(blocks.bytes_in_use(), 0U);
}

TEST(CpuConvolution, NamesWhatItCannotCompute) {
  const auto backend = make_backend("cpu");
  std::vector<double> x(12), weight(1), y(12);
  const Dims in{1, 12, 1};
  try {
    backend->conv1d_forward({}, {x.data(), DType::f64, in}, {weight.data(), DType::f64, {1, 1, 1}},
                            {}, {y.data(), DType::f64, in});
    FAIL() << "no error";
  } catch (const DeviceError& error) {
    EXPECT_STREQ(error.what(), "conv1d on cpu computes in f32, got f64");
  }
  Floats wide(12), taps(2);
  EXPECT_THROW(backend->conv1d_forward({}, view(wide, in), view(taps, {2, 1, 1}), {},
                                       view(wide, {1, 12, 1})),
               ShapeError);
}

}  // namespace
}  // namespace cardiograd
