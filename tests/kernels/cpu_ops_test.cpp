// What the table of operation cases does not see: the same bits on any number of threads, NaN,
// rounding and saturation, hard statistics, the accuracy of the approximations, and errors.
#include <cmath>
#include <cstring>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <numbers>
#include <omp.h>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/vector_math.h"

namespace cardiograd {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

template <class T>
struct Array {
  Dims dims;
  std::vector<T> values;

  explicit Array(const Dims& shape, T value = T{})
      : dims(shape), values(static_cast<std::size_t>(shape.numel()), value) {}
  Array(const Dims& shape, std::vector<T> content) : dims(shape), values(std::move(content)) {}
  View view() { return {values.data(), dtype_of<T>, dims}; }
  T& operator[](std::int64_t i) { return values[static_cast<std::size_t>(i)]; }
};
using Floats = Array<float>;
using Ints = Array<std::int32_t>;

// Uniform values in [low, high), each draw of `seed` its own.
Floats random_floats(const Dims& dims, float low, float high, std::uint64_t seed) {
  Floats array(dims);
  const RandomKey key{seed, 0, 0};
  for (std::int64_t i = 0; i < dims.numel(); ++i) {
    const auto words = key.draw(0, static_cast<std::uint32_t>(i / 4));
    array[i] = low + (high - low) * Philox::uniform(words[static_cast<std::size_t>(i % 4)]);
  }
  return array;
}

class CpuOps : public testing::Test {
 protected:
  std::shared_ptr<Backend> cpu_ = make_cpu_backend();
};

// The text of the error that `call` throws, up to the place in brackets.
template <class Exception>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Exception& error) {
    const std::string text = error.what();
    return text.substr(0, text.find(" ("));
  }
  return "no error";
}

// ---- The same bits on any number of threads.

class ThreadCounts : public CpuOps {
 protected:
  ~ThreadCounts() override { omp_set_num_threads(before_); }

  // Runs `call` with 1, 2 and 3 threads; everything in `outputs` must come out the same.
  void expect_same_bits(const std::function<void()>& call, std::vector<Floats*> outputs) {
    std::vector<std::vector<float>> first;
    for (int threads : {1, 2, 3}) {
      omp_set_num_threads(threads);
      for (Floats* output : outputs) std::fill(output->values.begin(), output->values.end(), -7.0F);
      call();
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        if (threads == 1) {
          first.push_back(outputs[i]->values);
        } else {
          EXPECT_EQ(std::memcmp(first[i].data(), outputs[i]->values.data(),
                                first[i].size() * sizeof(float)),
                    0)
              << "output " << i << " with " << threads << " threads";
        }
      }
    }
  }

 private:
  int before_ = omp_get_max_threads();
};

TEST_F(ThreadCounts, sums) {
  Floats x = random_floats({7, 311, 97}, -1.0F, 3.0F, 1);
  for (const Dims& dims : {Dims{1, 1, 1}, Dims{7, 1, 97}, Dims{1, 1, 97}, Dims{1, 311, 1}}) {
    Floats y(dims);
    expect_same_bits([&] { cpu_->sum(x.view(), 0.25, y.view()); }, {&y});
  }
}

TEST_F(ThreadCounts, batch_norm) {
  const Dims vector{37};
  Floats x = random_floats({63, 101, 37}, -1.0F, 3.0F, 2);
  Floats dy = random_floats({63, 101, 37}, -1.0F, 1.0F, 3);
  Floats gamma = random_floats(vector, 0.5F, 1.5F, 4);
  Floats beta = random_floats(vector, -1.0F, 1.0F, 5);
  Floats running_mean(vector), running_var(vector), mean(vector), inv_std(vector), dgamma(vector),
      dbeta(vector), y(x.dims), dx(x.dims);
  expect_same_bits(
      [&] {
        cpu_->batch_norm_training_forward({}, x.view(), gamma.view(), beta.view(), {},
                                          running_mean.view(), running_var.view(), y.view(),
                                          mean.view(), inv_std.view());
        cpu_->batch_norm_training_backward({}, x.view(), gamma.view(), mean.view(), inv_std.view(),
                                           {}, dy.view(), dx.view(), {}, dgamma.view(),
                                           dbeta.view());
      },
      {&running_mean, &running_var, &mean, &inv_std, &y, &dx, &dgamma, &dbeta});
}

TEST_F(ThreadCounts, layer_norm_gradients) {
  Floats x = random_floats({1501, 67}, -1.0F, 3.0F, 6);
  Floats dy = random_floats(x.dims, -1.0F, 1.0F, 7);
  Floats gamma(Dims{67}, 1.5F), beta(Dims{67}, 0.5F), mean(Dims{1501}), inv_std(Dims{1501});
  Floats y(x.dims), dx(x.dims), dgamma(Dims{67}), dbeta(Dims{67});
  expect_same_bits(
      [&] {
        cpu_->layer_norm_forward(x.view(), gamma.view(), beta.view(), 1e-5, y.view(), mean.view(),
                                 inv_std.view());
        cpu_->layer_norm_backward(x.view(), gamma.view(), mean.view(), inv_std.view(), dy.view(),
                                  dx.view(), dgamma.view(), dbeta.view());
      },
      {&y, &mean, &inv_std, &dx, &dgamma, &dbeta});
}

TEST_F(ThreadCounts, loss_and_gradient_norm) {
  Floats logits = random_floats({12345, 5}, -6.0F, 6.0F, 8);
  Floats targets = random_floats(logits.dims, 0.0F, 1.0F, 9);
  Floats weight = random_floats({5}, 0.5F, 4.0F, 10);
  Floats loss(Dims{1}), dlogits(logits.dims), norm(Dims{1}), factor(Dims{1});
  expect_same_bits(
      [&] {
        cpu_->bce_with_logits({}, logits.view(), targets.view(), weight.view(), loss.view(),
                              dlogits.view());
        cpu_->gradient_norm(logits.view(), 1.0, norm.view(), factor.view());
      },
      {&loss, &dlogits, &norm, &factor});
}

TEST_F(ThreadCounts, dropout) {
  Floats x = random_floats({9, 150, 70}, -1.0F, 1.0F, 11);
  Floats y(x.dims), by_channel(x.dims);
  expect_same_bits(
      [&] {
        cpu_->dropout({0.3, false, {5, 1, 2}}, {}, x.view(), y.view());
        cpu_->dropout({0.3, true, {5, 1, 2}}, {}, x.view(), by_channel.view());
      },
      {&y, &by_channel});
}

// ---- NaN and infinity.

TEST_F(CpuOps, relu_passes_nan_on) {
  Floats x({3}, {nan_value, -1.0F, 2.0F}), dy({3}, 1.0F), y({3}), dx({3});
  const Activation relu{ActivationKind::relu};
  cpu_->activation_forward(relu, x.view(), y.view());
  cpu_->activation_backward(relu, x.view(), y.view(), dy.view(), dx.view());
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(y[1], 0.0F);
  EXPECT_EQ(y[2], 2.0F);
  EXPECT_EQ(dx[1], 0.0F);
  EXPECT_EQ(dx[2], 1.0F);
}

TEST_F(CpuOps, every_activation_passes_nan_on_and_bears_infinity) {
  for (auto kind : {ActivationKind::relu, ActivationKind::leaky_relu, ActivationKind::sigmoid,
                    ActivationKind::tanh, ActivationKind::gelu, ActivationKind::gelu_tanh}) {
    Floats x({3}, {nan_value, infinity, 100.0F}), y({3});
    cpu_->activation_forward({kind, 0.01}, x.view(), y.view());
    EXPECT_TRUE(std::isnan(y[0])) << static_cast<int>(kind);
    const bool bounded = kind == ActivationKind::sigmoid || kind == ActivationKind::tanh;
    EXPECT_EQ(y[1], bounded ? 1.0F : infinity) << static_cast<int>(kind);
    EXPECT_EQ(y[2], bounded ? 1.0F : 100.0F) << static_cast<int>(kind);
  }
}

TEST_F(CpuOps, the_first_nan_is_the_maximum) {
  Floats x({2, 4}, {1.0F, nan_value, 9.0F, nan_value, 5.0F, 7.0F, 7.0F, -1.0F}), y({2, 1});
  Ints index({2, 1});
  cpu_->max_forward(x.view(), y.view(), index.view());
  EXPECT_TRUE(std::isnan(y[0]));
  EXPECT_EQ(index[0], 1);
  EXPECT_EQ(y[1], 7.0F);
  EXPECT_EQ(index[1], 1);
}

TEST_F(CpuOps, softmax_of_great_values_is_finite) {
  Floats x({2, 3}, {1e4F, 1e4F, -infinity, nan_value, 0.0F, 0.0F}), y({2, 3});
  cpu_->softmax_forward(x.view(), y.view());
  EXPECT_EQ(y[0], 0.5F);
  EXPECT_EQ(y[1], 0.5F);
  EXPECT_EQ(y[2], 0.0F);
  for (int i = 3; i < 6; ++i) EXPECT_TRUE(std::isnan(y[i]));
}

TEST_F(CpuOps, a_nan_gradient_norm_is_no_healthy_factor) {
  Floats gradient({2}, {1.0F, nan_value}), norm(Dims{}), factor(Dims{});
  cpu_->gradient_norm(gradient.view(), 1.0, norm.view(), factor.view());
  EXPECT_TRUE(std::isnan(norm[0]));
  EXPECT_TRUE(std::isnan(factor[0]));
}

TEST_F(CpuOps, bce_of_great_logits_is_finite) {
  Floats logits({4}, {200.0F, -200.0F, 200.0F, -200.0F}), targets({4}, {1.0F, 0.0F, 0.0F, 1.0F});
  Floats loss({4}), dlogits({4});
  cpu_->bce_with_logits({Reduction::none}, logits.view(), targets.view(), {}, loss.view(),
                        dlogits.view());
  EXPECT_EQ(loss.values, (std::vector<float>{0.0F, 0.0F, 200.0F, 200.0F}));
  EXPECT_EQ(dlogits.values, (std::vector<float>{0.0F, 0.0F, 1.0F, -1.0F}));
}

// ---- Casts.

TEST_F(CpuOps, casts_to_integers_round_to_even_and_saturate) {
  Floats x({9}, {0.5F, 1.5F, 2.5F, -2.5F, 1e9F, -1e9F, infinity, -infinity, nan_value});
  Array<std::int16_t> small({9});
  Array<std::uint8_t> bytes({9});
  Ints words({9});
  cpu_->cast(x.view(), small.view());
  cpu_->cast(x.view(), bytes.view());
  cpu_->cast(x.view(), words.view());
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  EXPECT_EQ(small.values,
            (std::vector<std::int16_t>{0, 2, 2, -2, 32767, -32768, 32767, -32768, 0}));
  EXPECT_EQ(bytes.values, (std::vector<std::uint8_t>{0, 2, 2, 0, 255, 0, 255, 0, 0}));
  EXPECT_EQ(words.values,
            (std::vector<std::int32_t>{0, 2, 2, -2, 1000000000, -1000000000, most, -most - 1, 0}));
}

TEST_F(CpuOps, casts_between_integers_and_floats) {
  Ints x({3}, {70000, -70000, 16777217});
  Array<std::int16_t> small({3});
  Array<double> wide({3});
  Array<BFloat16> half({3});
  cpu_->cast(x.view(), small.view());
  cpu_->cast(x.view(), wide.view());
  EXPECT_EQ(small.values, (std::vector<std::int16_t>{32767, -32768, 32767}));
  EXPECT_EQ(wide.values, (std::vector<double>{70000.0, -70000.0, 16777217.0}));
  Floats values({3}, {1.00390625F, nan_value, 3e38F});
  cpu_->cast(values.view(), half.view());
  EXPECT_EQ(half[0].bits, 0x3f80);  // a tie: to even
  EXPECT_TRUE(std::isnan(static_cast<float>(half[1])));
  Floats back({3});
  cpu_->cast(half.view(), back.view());
  EXPECT_EQ(back[0], 1.0F);
}

TEST_F(CpuOps, fill_saturates_like_cast) {
  Array<std::uint8_t> bytes({3});
  cpu_->fill(bytes.view(), 300.0);
  EXPECT_EQ(bytes.values, (std::vector<std::uint8_t>{255, 255, 255}));
}

// ---- Statistics that cancel.

TEST_F(CpuOps, batch_norm_of_a_great_mean_keeps_its_variance) {
  const Dims vector{3};
  Floats x = random_floats({40000, 3}, -1.7320508F, 1.7320508F, 12);  // deviation 1
  double sum = 0.0;
  double squares = 0.0;
  for (std::int64_t i = 0; i < x.dims.numel(); ++i) {
    x[i] += i % 3 == 0 ? 1000.0F : 0.0F;
    if (i % 3 == 0) sum += static_cast<double>(x[i]) / 40000.0;
  }
  for (std::int64_t i = 0; i < x.dims.numel(); i += 3) {
    squares += (static_cast<double>(x[i]) - sum) * (static_cast<double>(x[i]) - sum) / 40000.0;
  }
  Floats gamma(vector, 1.0F), beta(vector), running_mean(vector), running_var(vector, 1.0F),
      y(x.dims), mean(vector), inv_std(vector);
  cpu_->batch_norm_training_forward({0.0, 1.0}, x.view(), gamma.view(), beta.view(), {},
                                    running_mean.view(), running_var.view(), y.view(), mean.view(),
                                    inv_std.view());
  EXPECT_FLOAT_EQ(mean[0], static_cast<float>(sum));
  EXPECT_NEAR(static_cast<double>(inv_std[0]) * std::sqrt(squares), 1.0, 1e-6);
  EXPECT_NEAR(static_cast<double>(running_var[0]) / (squares * 40000.0 / 39999.0), 1.0, 1e-6);
}

// relu(batch_norm(x) + residual) in one pass, forward and backward, has the bits of the operations
// one after the other, with more rows and channels than a tile has.
TEST_F(CpuOps, fused_batch_norm_is_the_operations_apart) {
  for (const Dims& dims : {Dims{41, 67, 12}, Dims{97, 1030}}) {
    const Dims vector{dims[-1]};
    Floats x = random_floats(dims, -1.0F, 3.0F, 21);
    Floats residual = random_floats(dims, -1.0F, 1.0F, 22);
    Floats dy = random_floats(dims, -1.0F, 1.0F, 23);
    Floats gamma = random_floats(vector, 0.5F, 1.5F, 24);
    Floats beta = random_floats(vector, -1.0F, 1.0F, 25);
    struct Results {
      Results(const Dims& dims, const Dims& vector)
          : y(dims),
            dx(dims),
            dresidual(dims),
            mean(vector),
            inv_std(vector),
            dgamma(vector),
            dbeta(vector),
            running_mean(vector),
            running_var(vector) {}
      Floats y, dx, dresidual, mean, inv_std, dgamma, dbeta, running_mean, running_var;
    };
    Results one(dims, vector), apart(dims, vector);
    const auto forward = [&](Results& r, const BatchNormSpec& spec, ConstView added) {
      cpu_->batch_norm_training_forward(spec, x.view(), gamma.view(), beta.view(), added,
                                        r.running_mean.view(), r.running_var.view(), r.y.view(),
                                        r.mean.view(), r.inv_std.view());
    };
    const auto backward = [&](Results& r, const BatchNormSpec& spec, Floats& gradient,
                              View dresidual) {
      cpu_->batch_norm_training_backward(spec, x.view(), gamma.view(), r.mean.view(),
                                         r.inv_std.view(), r.y.view(), gradient.view(), r.dx.view(),
                                         dresidual, r.dgamma.view(), r.dbeta.view());
    };
    forward(one, {1e-5, 0.1, true}, residual.view());
    forward(apart, {}, {});
    const Activation relu{ActivationKind::relu};
    cpu_->accumulate(residual.view(), apart.y.view());
    cpu_->activation_forward(relu, apart.y.view(), apart.y.view());
    EXPECT_EQ(one.y.values, apart.y.values);

    cpu_->activation_backward(relu, apart.y.view(), apart.y.view(), dy.view(),
                              apart.dresidual.view());
    backward(apart, {}, apart.dresidual, {});
    backward(one, {1e-5, 0.1, true}, dy, one.dresidual.view());
    EXPECT_EQ(one.dresidual.values, apart.dresidual.values);
    EXPECT_EQ(one.dx.values, apart.dx.values);
    EXPECT_EQ(one.dgamma.values, apart.dgamma.values);
    EXPECT_EQ(one.dbeta.values, apart.dbeta.values);
    // Nobody asks for the residual's gradient.
    std::fill(one.dx.values.begin(), one.dx.values.end(), nan_value);
    backward(one, {1e-5, 0.1, true}, dy, {});
    EXPECT_EQ(one.dx.values, apart.dx.values);
  }
}

TEST_F(CpuOps, batch_norm_of_no_rows_leaves_running_statistics) {
  const Dims vector{2};
  Floats x({0, 2}), y({0, 2}), gamma(vector, 1.0F), beta(vector), running_mean(vector, 3.0F),
      running_var(vector, 4.0F), mean(vector, nan_value), inv_std(vector, nan_value);
  cpu_->batch_norm_training_forward({1.0, 0.1}, x.view(), gamma.view(), beta.view(), {},
                                    running_mean.view(), running_var.view(), y.view(), mean.view(),
                                    inv_std.view());
  EXPECT_EQ(mean.values, (std::vector<float>{0.0F, 0.0F}));
  EXPECT_EQ(inv_std.values, (std::vector<float>{1.0F, 1.0F}));
  EXPECT_EQ(running_mean.values, (std::vector<float>{3.0F, 3.0F}));
  EXPECT_EQ(running_var.values, (std::vector<float>{4.0F, 4.0F}));
}

TEST_F(CpuOps, layer_norm_of_a_great_mean_keeps_its_variance) {
  Floats x = random_floats({1, 4096}, -1.7320508F, 1.7320508F, 13);
  for (float& value : x.values) value += 1000.0F;
  Floats gamma(Dims{4096}, 1.0F), beta(Dims{4096}), y(x.dims), mean(Dims{1}), inv_std(Dims{1});
  cpu_->layer_norm_forward(x.view(), gamma.view(), beta.view(), 0.0, y.view(), mean.view(),
                           inv_std.view());
  double squares = 0.0;
  for (float value : y.values) squares += static_cast<double>(value) * static_cast<double>(value);
  EXPECT_NEAR(squares / 4096.0, 1.0, 1e-5);
}

// ---- Approximations.

// The greatest relative error of approximation against exact over `count` points of [low, high].
double greatest_error(float low, float high, float (*approximation)(float),
                      double (*exact)(double)) {
  constexpr int count = 200001;
  double worst = 0.0;
  for (int i = 0; i < count; ++i) {
    const float x = low + (high - low) * static_cast<float>(i) / static_cast<float>(count - 1);
    const double want = exact(static_cast<double>(x));
    if (want == 0.0) continue;
    worst = std::max(worst, std::abs(static_cast<double>(approximation(x)) / want - 1.0));
  }
  return worst;
}

TEST(VectorMath, relative_errors) {
  namespace vm = vector_math;
  EXPECT_LT(greatest_error(-87.0F, 88.7F, vm::exp, [](double x) { return std::exp(x); }), 2e-7);
  EXPECT_LT(greatest_error(-9.5F, 9.5F, vm::tanh, [](double x) { return std::tanh(x); }), 2e-7);
  EXPECT_LT(greatest_error(-0.01F, 0.01F, vm::tanh, [](double x) { return std::tanh(x); }), 2e-7);
  EXPECT_LT(greatest_error(0.0F, 1.0F, vm::log1p_unit, [](double x) { return std::log1p(x); }),
            2e-7);
  EXPECT_LT(greatest_error(-87.0F, 30.0F, vm::sigmoid,
                           [](double x) { return 1.0 / (1.0 + std::exp(-x)); }),
            3e-7);
  const auto cdf = [](float x) { return vm::normal(x).cdf; };
  const auto exact_cdf = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  EXPECT_LT(greatest_error(-1.0F, 6.0F, cdf, exact_cdf), 4e-7);
  EXPECT_LT(greatest_error(-12.0F, -1.0F, cdf, exact_cdf), 5e-6);
}

TEST(VectorMath, the_logarithm_of_uniform_draws) {
  const auto exact = [](double x) { return std::log(x); };
  EXPECT_LT(greatest_error(0x1p-24F, 1.0F, vector_math::log_unit, exact), 3e-7);
  EXPECT_LT(greatest_error(0.999F, 1.0F, vector_math::log_unit, exact), 3e-7);
  EXPECT_EQ(vector_math::log_unit(1.0F), 0.0F);
}

TEST(VectorMath, sine_and_cosine_of_whole_turns) {
  constexpr std::uint32_t quarter = 1U << 30;
  double worst = 0.0;
  for (std::uint64_t turns = 0; turns < 1ULL << 32; turns += 65521) {
    const auto word = static_cast<std::uint32_t>(turns);
    const double angle = 2.0 * std::numbers::pi * 0x1p-32 * static_cast<double>(turns);
    const vector_math::SineCosine found = vector_math::sine_cosine(word);
    worst = std::max(worst, std::abs(static_cast<double>(found.sine) - std::sin(angle)));
    worst = std::max(worst, std::abs(static_cast<double>(found.cosine) - std::cos(angle)));
  }
  EXPECT_LT(worst, 3e-7);
  EXPECT_EQ(vector_math::sine_cosine(0).sine, 0.0F);
  EXPECT_NEAR(vector_math::sine_cosine(quarter).sine, 1.0F, 3e-7F);
  EXPECT_NEAR(vector_math::sine_cosine(2 * quarter).cosine, -1.0F, 3e-7F);
  EXPECT_NEAR(vector_math::sine_cosine(3 * quarter).sine, -1.0F, 3e-7F);
}

TEST(VectorMath, the_ends_of_exp) {
  EXPECT_EQ(vector_math::exp(0.0F), 1.0F);
  EXPECT_EQ(vector_math::exp(infinity), infinity);
  EXPECT_EQ(vector_math::exp(-infinity), 0.0F);
  EXPECT_EQ(vector_math::exp(90.0F), infinity);
  EXPECT_TRUE(std::isnan(vector_math::exp(nan_value)));
  EXPECT_NEAR(vector_math::exp(-100.0F), std::exp(-100.0), 1e-45);  // subnormal
}

// ---- Dropout.

TEST_F(CpuOps, dropout_draws_belong_to_records_and_elements) {
  const DropoutSpec spec{0.4, false, {0x123456789abcdefU, 3, 7}};
  Floats x({2, 150}, 1.0F), y({2, 150});
  x[0] = nan_value;
  Ints records({2}, {40, 11});
  cpu_->dropout(spec, records.view(), x.view(), y.view());
  for (std::int64_t i = 0; i < 300; ++i) {
    const std::int64_t element = i % 150;
    const auto words = spec.key.draw(i < 150 ? 40 : 11, static_cast<std::uint32_t>(element / 4));
    const bool keep = static_cast<double>(
                          Philox::uniform(words[static_cast<std::size_t>(element % 4)])) >= spec.p;
    if (i == 0 && keep) {
      EXPECT_TRUE(std::isnan(y[0]));
    } else {
      EXPECT_EQ(y[i], keep ? static_cast<float>(1.0 / 0.6) : 0.0F) << i;
    }
  }
}

TEST_F(CpuOps, a_dropped_nan_is_zero) {
  Floats x({1, 1000}, nan_value), y({1, 1000});
  cpu_->dropout({0.5, false, {}}, {}, x.view(), y.view());
  std::int64_t zeros = 0;
  for (float value : y.values) zeros += value == 0.0F ? 1 : 0;
  EXPECT_GT(zeros, 400);
  EXPECT_LT(zeros, 600);
  cpu_->dropout({1.0, false, {}}, {}, x.view(), y.view());
  for (float value : y.values) EXPECT_EQ(value, 0.0F);
}

// ---- Optimizers.

TEST_F(CpuOps, momentum_starts_with_the_gradient_whatever_the_buffer_held) {
  OptimizerSpec spec;
  spec.momentum = 0.9;
  spec.dampening = 0.5;
  Floats gradient({2}, {1.0F, -2.0F}), parameter({2}, 1.0F), velocity({2}, nan_value);
  Array<double> schedule({4}, {0.5, 1.0, 0.0, 0.9});
  OptimizerOperands x;
  x.gradients = gradient.view();
  x.schedule = schedule.view();
  x.parameters = parameter.view();
  x.states = {velocity.view()};
  cpu_->optimizer_step(spec, x);
  EXPECT_EQ(velocity.values, (std::vector<float>{1.0F, -2.0F}));
  EXPECT_EQ(parameter.values, (std::vector<float>{0.5F, 2.0F}));
  schedule[1] = 2.0;
  cpu_->optimizer_step(spec, x);
  EXPECT_EQ(velocity.values, (std::vector<float>{1.4F, -2.8F}));
}

// ---- Errors.

TEST_F(CpuOps, other_dtypes_are_refused_by_name) {
  Array<double> x({2, 2});
  Floats y({2, 2});
  EXPECT_EQ(message_of<DeviceError>([&] { cpu_->softmax_forward(x.view(), x.view()); }),
            "softmax on cpu computes in f32, got f64");
  EXPECT_EQ(message_of<DeviceError>([&] { cpu_->add(y.view(), x.view(), y.view()); }),
            "add on cpu computes in f32, got f64");
}

TEST_F(CpuOps, shapes_that_do_not_fit_are_named) {
  Floats a({2, 3}), b({2, 4}), y({2, 3});
  EXPECT_EQ(message_of<ShapeError>([&] { cpu_->add(a.view(), b.view(), y.view()); }),
            "add: shapes [2, 4] and [2, 3] do not fit");
  EXPECT_EQ(message_of<ShapeError>([&] { cpu_->accumulate(b.view(), y.view()); }),
            "accumulate: shapes [2, 4] and [2, 3] do not fit");
  EXPECT_EQ(message_of<ShapeError>([&] { cpu_->slice(b.view(), 1, 2, y.view()); }),
            "slice: 3 from 2 on does not lie within axis 1 of shape [2, 4]");
  EXPECT_EQ(message_of<ShapeError>([&] {
              cpu_->permute(a.view(), {0, 0}, y.view());
            }),
            "permute: axes must name each axis of shape [2, 3] once");
}

TEST_F(CpuOps, gather_names_the_operand_that_is_wrong) {
  Array<std::int16_t> records({3, 10, 2}, std::int16_t{4});
  records[2] = -32768;
  Floats scale({2}, 0.5F), shift({2}, {1.0F, 2.0F}), y({2, 8, 2});
  Ints rows({2}, {0, 2}), partners({2}, {1, -1});
  GatherSpec spec{-5.0, {}};
  GatherOperands x{records.view(), rows.view(), scale.view(), shift.view(), {}, {}, {}, {}};
  const auto gather = [&] { cpu_->gather_records(spec, x, y.view()); };
  gather();  // the centre crop begins at sample 1
  EXPECT_EQ(y[0], -5.0F);
  EXPECT_EQ(y[1], 4.0F);
  EXPECT_EQ(y[2], 3.0F);
  x.partners = partners.view();
  x.shares = scale.view();
  EXPECT_EQ(message_of<ShapeError>(gather),
            "gather_records: partners[1] = -1 does not exist in records of shape [3, 10, 2]");
  rows[1] = 3;
  EXPECT_EQ(message_of<ShapeError>(gather),
            "gather_records: rows[1] = 3 does not exist in records of shape [3, 10, 2]");
  rows[1] = partners[1] = 0;
  spec.augment.hum = 0.5;
  EXPECT_EQ(message_of<ShapeError>(gather),
            "gather_records: wander and hum need the gain of each lead");
  spec.augment.hum = 1.5;
  x.gain = scale.view();
  EXPECT_EQ(message_of<ShapeError>(gather),
            "gather_records: a probability lies in [0, 1], got 1.500000");
  spec.augment.hum = 0.0;
  spec.augment.mask_shortest = 19;
  EXPECT_EQ(message_of<ShapeError>(gather), "gather_records: masks of 19 to 18 samples");
}

}  // namespace
}  // namespace cardiograd
