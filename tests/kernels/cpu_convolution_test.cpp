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
