// RandomScope, and dropout's draws by record.
#include "nn/random.h"

#include <gtest/gtest.h>

#include "nn/layers.h"
#include "tests/reference/reference_backend.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using Values = std::vector<double>;

void expect_key(const RandomKey& key, std::uint64_t seed, std::uint32_t epoch,
                std::uint32_t operation) {
  EXPECT_EQ(key.seed, seed);
  EXPECT_EQ(key.epoch, epoch);
  EXPECT_EQ(key.operation, operation);
}

class Random : public ::testing::TestWithParam<const char*> {
 protected:
  Tensor records(const std::vector<std::int32_t>& numbers) const {
    return Tensor::from_host<std::int32_t>(backend_, {static_cast<std::int64_t>(numbers.size())},
                                           DType::i32, numbers);
  }
  Tensor ones(const Dims& dims) const {
    return Tensor::full(backend_, dims, backend_->default_dtype(), 1.0);
  }
  // Row n of [N, ...].
  static Values row(const Tensor& x, std::int64_t n) {
    const Values all = x.to_vector<double>();
    const auto width = static_cast<std::ptrdiff_t>(x.numel() / x.size(0));
    return {all.begin() + n * width, all.begin() + (n + 1) * width};
  }

  std::shared_ptr<Backend> backend_ =
      std::string(GetParam()) == "reference" ? make_reference_backend() : make_backend(GetParam());
};

TEST(RandomScopes, CountOperationsAndNest) {
  const RandomScope outer((1ULL << 40) + 3, 5);
  expect_key(RandomScope::next_key(), (1ULL << 40) + 3, 5, 0);
  expect_key(RandomScope::next_key(), (1ULL << 40) + 3, 5, 1);
  {
    const RandomScope inner(9, 1, Tensor::full(make_backend("cpu"), {2}, DType::i32, 4.0));
    expect_key(RandomScope::next_key(), 9, 1, 0);
    EXPECT_TRUE(RandomScope::records().defined());
  }
  EXPECT_FALSE(RandomScope::records().defined());
  expect_key(RandomScope::next_key(), (1ULL << 40) + 3, 5, 2);
}

TEST_P(Random, DropoutWithoutAScopeIsRefused) {
  Dropout layer(0.5);
  EXPECT_EQ(testing::error_of([&] {
              layer(ones({2, 3}));
            }),
            "a random operation ran in training mode outside a RandomScope: open one with the "
            "run's seed and epoch, or call eval() on the module");
  layer.eval();
  EXPECT_EQ(layer(ones({2, 3})).to_vector<double>(), Values(6, 1.0));
}

TEST_P(Random, ARecordMeetsTheSameDrawsInEveryBatch) {
  const Tensor x = ones({3, 40});
  Tensor first, second;
  {
    const RandomScope scope(1, 2, records({70'000, 12, 5}));
    first = dropout(x, 0.5);
  }
  {
    const RandomScope scope(1, 2, records({5, 9, 70'000}));
    second = dropout(x, 0.5);
  }
  EXPECT_EQ(row(first, 0), row(second, 2));
  EXPECT_EQ(row(first, 2), row(second, 0));
  EXPECT_NE(row(first, 1), row(second, 1));
  EXPECT_NE(row(first, 0), row(first, 1));
}

TEST_P(Random, RowNumbersStandInForRecords) {
  const Tensor x = ones({3, 40});
  Values without, with;
  {
    const RandomScope scope(1, 2);
    without = dropout(x, 0.5).to_vector<double>();
  }
  {
    const RandomScope scope(1, 2, records({0, 1, 2}));
    with = dropout(x, 0.5).to_vector<double>();
  }
  EXPECT_EQ(without, with);
}

TEST_P(Random, SeedEpochAndOperationEachChangeTheDraws) {
  const Tensor x = ones({1, 64});
  const auto draw = [&](std::uint64_t seed, std::uint32_t epoch, int skipped) {
    const RandomScope scope(seed, epoch);
    for (int i = 0; i < skipped; ++i) RandomScope::next_key();
    return dropout(x, 0.5).to_vector<double>();
  };
  EXPECT_EQ(draw(1, 1, 0), draw(1, 1, 0));
  EXPECT_NE(draw(1, 1, 0), draw(2, 1, 0));
  EXPECT_NE(draw(1, 1, 0), draw(1 + (1ULL << 32), 1, 0));
  EXPECT_NE(draw(1, 1, 0), draw(1, 2, 0));
  EXPECT_NE(draw(1, 1, 0), draw(1, 1, 1));
}

TEST_P(Random, BackwardUsesTheMaskOfForward) {
  Tensor x = ones({2, 50});
  x.set_requires_grad(true);
  Tensor y;
  {
    const RandomScope scope(1, 2, records({4, 8}));
    y = dropout(x, 0.25);
  }
  y.backward(ones({2, 50}));
  EXPECT_EQ(x.grad().to_vector<double>(), y.to_vector<double>());
}

TEST_P(Random, ChannelDropoutTakesWholeChannels) {
  const RandomScope scope(1, 2);
  Dropout layer(0.5, true);
  const Values y = layer(ones({2, 5, 16})).to_vector<double>();
  int kept = 0;
  for (std::size_t n = 0; n < 2; ++n) {
    for (std::size_t c = 0; c < 16; ++c) {
      const double first = y[n * 80 + c];
      EXPECT_TRUE(first == 0.0 || first == 2.0);
      kept += first != 0.0 ? 1 : 0;
      for (std::size_t t = 1; t < 5; ++t) EXPECT_EQ(y[n * 80 + t * 16 + c], first);
    }
  }
  EXPECT_GT(kept, 4);
  EXPECT_LT(kept, 28);
}

INSTANTIATE_TEST_SUITE_P(Backends, Random, ::testing::Values("cpu", "reference"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(StandardNormal, IsNormalAndAFunctionOfKeyAndRow) {
  const auto backend = make_backend("cpu");
  const RandomKey key{5, 1, 2};
  const std::vector<float> values = standard_normal(backend, {100, 333}, key).to_vector<float>();
  double sum = 0.0, squares = 0.0, fourth = 0.0;
  for (const float value : values) {
    const double v = double{value};
    sum += v;
    squares += v * v;
    fourth += v * v * v * v;
  }
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0.0, 0.02);
  EXPECT_NEAR(squares / n, 1.0, 0.03);
  EXPECT_NEAR(fourth / n, 3.0, 0.2);
  const std::vector<float> fewer = standard_normal(backend, {7, 333}, key).to_vector<float>();
  EXPECT_TRUE(std::equal(fewer.begin(), fewer.end(), values.begin()));
  EXPECT_NE(standard_normal(backend, {7, 333}, {5, 2, 2}).to_vector<float>(), fewer);
}

}  // namespace
}  // namespace cardiograd
