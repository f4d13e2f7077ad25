// cuda_plans_test.cpp says nothing of a library that offers nothing; these cases do. They ask the
// libraries themselves, which a build without CUDA does not know.
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/cudnn_rnn.h"
#include "kernels/cuda/plan_cache.h"

namespace cardiograd {
namespace {

// Why a library's plans cannot be asked for; empty where they can.
std::string missing(std::string (*version)(std::string& why)) {
  std::string why;
  if (version(why).empty()) return why;
  try {
    make_cuda_kernel_backend(0, DType::f32);
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "";
}

TEST(CudaLibraries, CublasLtOffersProducts) {
  if (const std::string why = missing(cuda::cublaslt_version); !why.empty()) GTEST_SKIP() << why;
  const std::shared_ptr<Backend> backend = make_cuda_kernel_backend(0, DType::f32);
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
  if (const std::string why = missing(cuda::cudnn_version); !why.empty()) GTEST_SKIP() << why;
  const std::shared_ptr<Backend> backend = make_cuda_kernel_backend(0, DType::f32);
  const std::unique_ptr<cuda::Cudnn> library = cuda::make_cudnn(nullptr);
  ASSERT_TRUE(library);
  Conv1dSpec spec;
  spec.padding = 3;
  const Conv1dShape shape{16, 256, 64, 7, 64, 256, spec};
  for (const auto pass : {cuda::ConvolutionPass::forward, cuda::ConvolutionPass::data,
                          cuda::ConvolutionPass::weight}) {
    EXPECT_FALSE(library->convolutions({pass, shape, false, false, DType::bf16}).empty())
        << static_cast<int>(pass);
    cuda::ConvolutionPlan channels_first{pass, shape, false, false, DType::f32};
    channels_first.layout = cuda::ConvolutionLayout::channels_first;
    EXPECT_FALSE(library->convolutions(channels_first).empty()) << static_cast<int>(pass);
    EXPECT_FALSE(
        library->convolutions({pass, shape, false, false, DType::f32, cuda::MathMode::tf32})
            .empty())
        << static_cast<int>(pass);
  }
}

TEST(CudaLibraries, CudnnOffersRecurrence) {
  if (const std::string why = missing(cuda::cudnn_version); !why.empty()) GTEST_SKIP() << why;
  const std::shared_ptr<Backend> backend = make_cuda_kernel_backend(0, DType::f32);
  const std::unique_ptr<cuda::CudnnRnn> library = cuda::make_cudnn_rnn(nullptr);
  ASSERT_TRUE(library);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const auto plans = library->lstm({64, 100, 12, 64, dtype});
    EXPECT_FALSE(plans.empty()) << name_of(dtype);
    for (const auto& plan : plans) {
      EXPECT_GE(plan->weights.size, 4 * 64 * (12 + 64 + 2)) << plan->name;
      EXPECT_GT(plan->reserve, 0U) << plan->name;
    }
  }
}

}  // namespace
}  // namespace cardiograd
