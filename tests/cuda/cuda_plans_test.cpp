// Linear and convolution through the plan cache, with each plan that a library offers in turn; on
// the emulator, stand-ins are the libraries. What is not offered falls back to our own kernel.
#include <gtest/gtest.h>

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

std::vector<std::string> planned_methods() {
  return {"linear_forward", "linear_backward_data", "linear_backward_weight",
          "conv1d_forward", "conv1d_backward_data", "conv1d_backward_weight"};
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

std::string name_of_test(const ::testing::TestParamInfo<Parameter>& parameter) {
  const auto& [dtype, math, candidate, method] = parameter.param;
  std::string name = method + "_" + candidate + (math == MathMode::tf32 ? "_tf32" : "");
  for (char& letter : name) {
    if (letter == ':' || letter == '-') letter = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(F32, CudaPlans,
                         ::testing::Combine(::testing::Values(DType::f32),
                                            ::testing::Values(MathMode::exact, MathMode::tf32),
                                            ::testing::ValuesIn(testing::plan_candidates()),
                                            ::testing::ValuesIn(planned_methods())),
                         name_of_test);
INSTANTIATE_TEST_SUITE_P(BF16, CudaPlans,
                         ::testing::Combine(::testing::Values(DType::bf16),
                                            ::testing::Values(MathMode::exact),
                                            ::testing::ValuesIn(testing::plan_candidates()),
                                            ::testing::ValuesIn(planned_methods())),
                         name_of_test);

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
