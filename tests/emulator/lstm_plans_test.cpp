// Which plan an LSTM gets, with a stand-in for cuDNN (cudnn_rnn.cpp) as the other candidate. What
// the plans compute is cuda_plans_test.cpp's.
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/lstm_saved.h"
#include "tests/kernels/operation_cases.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

constexpr std::int64_t records = 2, length = 3, inputs = 4, units = 5;

std::shared_ptr<Backend> backend_with(const std::string& only) {
  cuda::PlanOptions options;
  options.rules.only = only;
  return make_cuda_backend(0, DType::f32, options);
}

std::int64_t saved_size(Backend& backend, DType dtype = DType::f32) {
  return backend.lstm_saved_size({}, ConstView{nullptr, dtype, {records, length, inputs}}, units);
}

std::int64_t own_size() { return lstm_parts_size(records, length, units); }

TEST(LstmPlans, OurKernelsKeepGatesAndCells) {
  EXPECT_EQ(saved_size(*make_cuda_kernel_backend(0, DType::f32)), own_size());
  EXPECT_EQ(saved_size(*backend_with("own")), own_size());
}

TEST(LstmPlans, TheLibraryKeepsItsOwn) {
  EXPECT_GT(saved_size(*backend_with("cudnn:naive")), own_size());
  // Its reserve holds doubles here: more elements where they are of 16 bits.
  EXPECT_GT(saved_size(*backend_with("cudnn:naive"), DType::bf16), 3 * own_size());
}

TEST(LstmPlans, APlanWithoutGradientIsNotTakenForTraining) {
  EXPECT_EQ(saved_size(*backend_with("cudnn:without-gradient")), own_size());
}

// The stand-in's loops are far faster than an emulated kernel.
TEST(LstmPlans, TheFasterPairIsTaken) {
  const std::shared_ptr<Backend> backend = backend_with("");
  const std::int64_t size = saved_size(*backend);
  EXPECT_EQ(size, saved_size(*backend_with("cudnn:naive")));
  EXPECT_EQ(saved_size(*backend), size);
}

TEST(LstmPlans, ALayerWithoutElementsKeepsNothing) {
  const std::shared_ptr<Backend> backend = backend_with("cudnn:");
  EXPECT_EQ(
      backend->lstm_saved_size({}, ConstView{nullptr, DType::f32, {0, length, inputs}}, units), 0);
}

// A buffer in the order of our own kernels works beside a library's plan for the same shape.
TEST(LstmPlans, TheSizeSaysWhoseOrderItIs) {
  const std::shared_ptr<Backend> backend = backend_with("cudnn:naive");
  for (const char* method : {"lstm_saved_size", "lstm_forward", "lstm_backward"}) {
    const cases::OperationCase each = cases::operation_named(method).cases().front();
    EXPECT_EQ(cases::check_case(each, *backend), "") << method;
  }
}

TEST(LstmPlans, AnotherSizeIsRefused) {
  const std::shared_ptr<Backend> backend = backend_with("own");
  std::vector<float> memory(512);
  const auto view = [&](const Dims& dims) { return View{memory.data(), DType::f32, dims}; };
  const std::string error = testing::error_of([&] {
    backend->lstm_forward({}, view({records, length, inputs}), view({4 * units, inputs}),
                          view({4 * units, units}), view({4 * units}), view({4 * units}),
                          view({records, length, units}), view({own_size() + 1}));
  });
  EXPECT_TRUE(error.starts_with("lstm: saved is [151], which lstm_saved_size did not say"))
      << error;
}

}  // namespace
}  // namespace cardiograd
