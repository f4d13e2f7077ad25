// Profiles by CUDA events: the operations of the CPU, each timed in the backend's queue. On the
// emulator (label kernel) and on a GPU (label gpu).
#include "nn/profile.h"

#include <gtest/gtest.h>
#include <map>
#include <tuple>

#include "kernels/cuda/cuda_backend.h"
#include "nn/layers.h"
#include "nn/optimizer.h"
#include "tests/cuda/machine.h"
#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"
#include "trainer/fit.h"

namespace cardiograd {
namespace {

#define SKIP_WITHOUT_DEVICE()                                   \
  try {                                                         \
    static_cast<void>(make_cuda_kernel_backend(0, DType::f32)); \
  } catch (const DeviceError& error) {                          \
    CARDIOGRAD_WITHOUT_DEVICE(error.what());                    \
  }

struct Small final : Module {
  explicit Small(const BuildContext& context) : conv(context, 2, 3, 3), fc(context, 6, 2) {
    register_module("conv", conv);
    register_module("fc", fc);
  }
  Tensor operator()(const Tensor& x) const { return sum(fc(flatten(conv.relu_maxpool(x, 2)))); }
  Conv1d conv;
  Linear fc;
};

ProfileReport profile_steps(const std::shared_ptr<Backend>& device, int steps) {
  const auto [profile, backend] = profiled(device);
  TorchGenerator random(0);
  Small model({backend, DType::f32, &random});
  FlatParameters parameters(model);
  Optimizer optimizer(optimizer_defaults("sgd"), parameters);
  const Tensor x = Tensor::full(backend, {4, 6, 2}, DType::f32, 0.5);
  const std::shared_ptr<Backend> beside = backend->second_queue();
  for (int i = 0; i < Profile::first_steps + steps; ++i) {
    profile->begin_step();
    if (beside) static_cast<void>(Tensor::full(beside, {4}, DType::f32, 1.0));
    parameters.zero_grad();
    const Tensor loss = model(x);
    loss.backward();
    optimizer.step(1.0);
    static_cast<void>(loss.item());
    profile->end_step();
  }
  return profile->report();
}

using Calls = std::map<std::tuple<std::string, std::string, Pass>, double>;

Calls calls_of(const ProfileReport& report) {
  Calls calls;
  for (const ProfileRow& row : report.rows) calls[{row.layer, row.operation, row.pass}] = row.calls;
  return calls;
}

TEST(CudaProfile, CountsTheOperationsOfTheCpuAndTimesThemWithinTheStep) {
  SKIP_WITHOUT_DEVICE();
  const ProfileReport ours = profile_steps(make_cuda_kernel_backend(0, DType::f32), 5);
  const Calls calls = calls_of(ours);
  EXPECT_EQ(calls, calls_of(profile_steps(make_backend("cpu"), 2)));
  EXPECT_EQ(calls.at({"conv", "conv1d_relu_maxpool_backward", Pass::backward}), 1.0);
  EXPECT_EQ(calls.at({"", "gradient_norm", Pass::update}), 1.0);
  EXPECT_EQ(ours.steps, 5);
  EXPECT_GT(ours.rows.front().microseconds, 0.0);
  for (const ProfileRow& row : ours.rows) EXPECT_GE(row.microseconds, 0.0) << row.operation;
  EXPECT_GE(ours.between_microseconds(), 0.0);
}

TEST(CudaProfile, ClockReadsManyPairsAndBeginsAnew) {
  SKIP_WITHOUT_DEVICE();
  const auto backend = make_cuda_kernel_backend(0, DType::f32);
  const auto clock = backend->operation_clock();
  const Tensor x = Tensor::empty(backend, {1000}, DType::f32);
  for (const std::size_t count : {std::size_t{40}, std::size_t{3}, std::size_t{0}}) {
    for (std::size_t i = 0; i < count; ++i) {
      clock->begin();
      backend->fill(x.view(), 1.0);
      clock->end();
    }
    clock->begin();  // never ends
    const std::vector<double> times = clock->read();
    ASSERT_EQ(times.size(), count);
    for (const double microseconds : times) EXPECT_GT(microseconds, 0.0);
  }
}

TEST(CudaProfile, IsOfTheTrainersStepsAndLeavesTheResultAsItIs) {
  SKIP_WITHOUT_DEVICE();
  const testing::TempFolder folder;
  testing::SmallPacked(20, 30).write(folder / "packed");
  RunConfig config;
  config.device = "cuda";
  config.data.path = (folder / "packed").string();
  config.train.epochs = 1;
  config.train.batch_size = 3;
  config.run.plots = false;
  config.run.tensorboard = false;
  for (const bool profile : {false, true}) {
    config.run.dir = (folder / (profile ? "timed" : "plain")).string();
    const FitResult result = fit(config, true, Start::anew, {}, {.profile = profile});
    ASSERT_EQ(result.profile.has_value(), profile);
    if (!profile) continue;
    EXPECT_GT(result.profile->steps, 0);
    const Calls calls = calls_of(*result.profile);
    EXPECT_EQ(calls.at({"conv1", "conv1d_relu_maxpool_forward", Pass::forward}), 1.0);
    EXPECT_EQ(calls.at({"fc0", "linear_backward_weight", Pass::backward}), 1.0);
    EXPECT_EQ(calls.at({"", "optimizer_step", Pass::update}), 1.0);
    for (const ProfileRow& row : result.profile->rows) EXPECT_NE(row.operation, "gather_records");
  }
  if (!testing::is_emulated()) return;  // a GPU's plans are measured anew, and may be others
  const std::string weights = "best/model.safetensors";
  EXPECT_EQ(testing::read_file(folder / "timed" / weights),
            testing::read_file(folder / "plain" / weights));
}

}  // namespace
}  // namespace cardiograd
