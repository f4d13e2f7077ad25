// Linear, convolution and LSTM through the plan cache, with each plan that a library offers in
// turn; on the emulator, stand-ins are the libraries. What is not offered falls back to our own
// kernel.
#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/planner.h"
#include "nn/tensor.h"
#include "tests/cuda/machine.h"
#include "tests/kernels/operation_cases.h"

namespace cardiograd {
namespace {

using cuda::MathMode;

std::shared_ptr<Backend> backend_or_skip(DType dtype, const cuda::PlanOptions& options,
                                         std::string& reason) {
  try {
    return make_cuda_backend(0, dtype, options);
  } catch (const DeviceError& error) {
    reason = error.what();
    return nullptr;
  }
}

// A factor of TF32 keeps 10 bits of mantissa: it is off by less than 2^-10 of itself where the rest
// is cut off (2^-11 where it is rounded), a product of two by less than 2^-9. Errors add up as the
// products do, whatever their signs, so that 2^-9 bounds their ratio to the sums on average; the
// largest may be four times the average.
cases::Tolerance tolerance_of(DType dtype, MathMode math) {
  if (dtype == DType::bf16) return {1e-3, 2e-2};
  constexpr double product = 1.0 / 512.0;
  return math == MathMode::tf32 ? cases::Tolerance{product * product, 4.0 * product}
                                : cases::Tolerance{};
}

// (storage, mathematics, candidates' name or "measure", Backend's method)
using Parameter = std::tuple<DType, MathMode, std::string, std::string>;
class CudaPlans : public ::testing::TestWithParam<Parameter> {};

TEST_P(CudaPlans, AgreeWithReference) {
  const auto& [dtype, math, candidate, method] = GetParam();
  cuda::PlanOptions options;
  options.math = math;
  options.rules.deterministic = false;
  options.rules.only = candidate == "measure" ? "" : candidate;
  std::string reason;
  const std::shared_ptr<Backend> backend = backend_or_skip(dtype, options, reason);
  if (!backend) CARDIOGRAD_WITHOUT_DEVICE(reason);
  const cases::Tolerance tolerance = tolerance_of(dtype, math);
  for (const cases::OperationCase& each : cases::operation_named(method).cases()) {
    try {
      EXPECT_EQ(cases::check_case(each, *backend, tolerance), "") << method;
    } catch (const std::exception& error) {
      ADD_FAILURE() << method << " " << each.name << " threw: " << error.what();
    }
  }
}

std::vector<Parameter> all_plans() {
  const std::vector<std::pair<DType, MathMode>> modes{
      {DType::f32, MathMode::exact}, {DType::f32, MathMode::tf32}, {DType::bf16, MathMode::exact}};
  std::vector<Parameter> all;
  for (const auto& [dtype, math] : modes) {
    const std::vector<std::string> usual{"_forward", "_backward_data", "_backward_weight"};
    for (const std::string operation : {"linear", "conv1d", "lstm"}) {
      std::vector<std::string> candidates = testing::plan_candidates(operation);
      if (math == MathMode::tf32 && operation != "lstm") candidates.emplace_back("own-tf32");
      for (const std::string& candidate : candidates) {
        // What an LSTM saves is its plan's own: both directions are one case.
        for (const std::string& part :
             operation == "lstm" ? std::vector<std::string>{"_forward", "_saved_size"} : usual) {
          all.emplace_back(dtype, math, candidate, operation + part);
        }
      }
    }
  }
  for (const char* candidate : {"cudnn", "cudnn-ncl"}) {
    all.emplace_back(DType::f32, MathMode::exact, candidate, "conv1d_relu_maxpool_forward");
  }
  return all;
}

std::string name_of_test(const ::testing::TestParamInfo<Parameter>& parameter) {
  const auto& [dtype, math, candidate, method] = parameter.param;
  const std::string mode = math == MathMode::tf32 ? "tf32" : std::string(name_of(dtype));
  std::string name = mode + "_" + method + "_" + candidate;
  for (char& letter : name) {
    if (letter == ':' || letter == '-') letter = '_';
  }
  return name;
}

// TF32 holds whole numbers up to 2048, so that nothing is rounded: here it must be as good as f32.
class CudaTf32 : public ::testing::TestWithParam<std::string> {};

TEST_P(CudaTf32, IsExactForWholeNumbers) {
  cuda::PlanOptions options;
  options.math = MathMode::tf32;
  options.rules.only = "own-tf32";
  std::string reason;
  const std::shared_ptr<Backend> backend = backend_or_skip(DType::f32, options, reason);
  if (!backend) CARDIOGRAD_WITHOUT_DEVICE(reason);
  for (cases::OperationCase& each : cases::operation_named(GetParam()).cases()) {
    for (cases::Operand& operand : each.operands) {
      if (operand.role == cases::Role::input && !operand.dtype) {
        operand.values = cases::whole(-1000, 1000);
      }
    }
    EXPECT_EQ(cases::check_case(each, *backend), "") << each.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, CudaTf32,
                         ::testing::Values("linear_forward", "linear_backward_data",
                                           "linear_backward_weight", "conv1d_forward",
                                           "conv1d_backward_data", "conv1d_backward_weight",
                                           "conv1d_relu_maxpool_forward",
                                           "conv1d_relu_maxpool_backward"),
                         [](const auto& parameter) { return parameter.param; });

// Whoever watches the loss must see what went wrong before.
TEST(CudaFusedGraph, PassesANanOn) {
  cuda::PlanOptions options;
  options.rules.only = "cudnn";
  std::string reason;
  const std::shared_ptr<Backend> backend = backend_or_skip(DType::f32, options, reason);
  if (!backend) CARDIOGRAD_WITHOUT_DEVICE(reason);
  const std::int64_t channels = 16;
  std::vector<float> signal(static_cast<std::size_t>(64 * channels), 1.0F);
  signal.front() = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = Tensor::from_host<float>(backend, {1, 64, channels}, DType::f32, signal);
  const Tensor weight = Tensor::full(backend, {3, channels, channels}, DType::f32, 1.0);
  const Tensor y = Tensor::full(backend, {1, 31, channels}, DType::f32, 0.0);
  const Tensor winner = Tensor::full(backend, {1, 31, channels}, DType::u8, 0.0);
  backend->conv1d_relu_maxpool_forward({}, 2, x.view(), weight.view(), {}, y.view(), winner.view());
  const std::vector<float> pooled = y.to_vector<float>();
  EXPECT_TRUE(std::isnan(pooled.front()));
  EXPECT_FLOAT_EQ(pooled.back(), 3.0F * channels);
}

INSTANTIATE_TEST_SUITE_P(All, CudaPlans, ::testing::ValuesIn(all_plans()), name_of_test);

}  // namespace
}  // namespace cardiograd
