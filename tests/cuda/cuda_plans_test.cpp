// Linear and convolution through the plan cache, with each plan that a library offers in turn; on
// the emulator, stand-ins are the libraries. What is not offered falls back to our own kernel.
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/planner.h"
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
  if (!backend) GTEST_SKIP() << reason;
  // TF32 rounds factors to 10 bits.
  const bool rounds = dtype == DType::bf16 || math == MathMode::tf32;
  const cases::Tolerance tolerance = rounds ? cases::Tolerance{1e-3, 2e-2} : cases::Tolerance{};
  for (const cases::OperationCase& each : cases::operation_named(method).cases()) {
    try {
      EXPECT_EQ(cases::check_case(each, *backend, tolerance), "") << method;
    } catch (const std::exception& error) {
      ADD_FAILURE() << method << " " << each.name << " threw: " << error.what();
    }
  }
}

std::vector<Parameter> all_plans() {
  std::vector<std::pair<DType, MathMode>> modes{{DType::f32, MathMode::exact},
                                                {DType::bf16, MathMode::exact}};
  if (testing::has_tf32()) modes.emplace_back(DType::f32, MathMode::tf32);
  std::vector<Parameter> all;
  for (const auto& [dtype, math] : modes) {
    for (const std::string operation : {"linear", "conv1d"}) {
      for (const std::string& candidate : testing::plan_candidates(operation == "conv1d")) {
        for (const char* part : {"_forward", "_backward_data", "_backward_weight"}) {
          all.emplace_back(dtype, math, candidate, operation + part);
        }
      }
    }
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

INSTANTIATE_TEST_SUITE_P(All, CudaPlans, ::testing::ValuesIn(all_plans()), name_of_test);

// The tests above say nothing of a library that offers nothing.
TEST(CudaLibraries, CublasLtOffersProducts) {
  std::string why;
  if (cuda::cublaslt_version(why).empty()) GTEST_SKIP() << why;
  const std::shared_ptr<Backend> backend = backend_or_skip(DType::f32, {}, why);
  if (!backend) GTEST_SKIP() << why;
  const std::unique_ptr<cuda::CublasLt> library = cuda::make_cublaslt(nullptr);
  ASSERT_TRUE(library);
  void* bias = backend->allocate(512);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const auto extra : {cuda::ProductExtra::none, cuda::ProductExtra::bias}) {
      cuda::ProductPlan plan{512, 128, 256, true, true, dtype};
      plan.extra = extra;
      EXPECT_FALSE(library->products(plan, bias).empty())
          << name_of(dtype) << " " << static_cast<int>(extra);
    }
  }
  backend->deallocate(bias, 512);
}

TEST(CudaLibraries, CudnnOffersConvolutions) {
  std::string why;
  if (cuda::cudnn_version(why).empty()) GTEST_SKIP() << why;
  const std::shared_ptr<Backend> backend = backend_or_skip(DType::f32, {}, why);
  if (!backend) GTEST_SKIP() << why;
  const std::unique_ptr<cuda::Cudnn> library = cuda::make_cudnn(nullptr);
  ASSERT_TRUE(library);
  Conv1dSpec spec;
  spec.padding = 3;
  const Conv1dShape shape{16, 256, 64, 7, 64, 256, spec};
  for (const auto pass : {cuda::ConvolutionPass::forward, cuda::ConvolutionPass::data,
                          cuda::ConvolutionPass::weight}) {
    EXPECT_FALSE(library->convolutions({pass, shape, false, DType::bf16}).empty())
        << static_cast<int>(pass);
    EXPECT_FALSE(library->convolutions({pass, shape, false, DType::f32, MathMode::tf32}).empty())
        << static_cast<int>(pass);
  }
}

}  // namespace
}  // namespace cardiograd
