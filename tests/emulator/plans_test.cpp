// What a user asks of a device's plans reaches the libraries, whose stand-ins (libraries.cpp) are
// told apart by their bits.
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/planner.h"
#include "kernels/error.h"
#include "tests/support/environment_variable.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::EnvironmentVariable;

BackendOptions asked(const std::string& plans) {
  BackendOptions options;
  options.plans = plans;
  options.plan_file = "off";
  return options;
}

// x of one channel [steps] times a weight that TF32 cannot hold, and times 3.
std::vector<float> convolved(Backend& backend, const std::vector<float>& x) {
  const auto steps = static_cast<std::int64_t>(x.size());
  const std::vector<float> weight{1.0F + 0x1p-12F, 3.0F};
  std::vector<float> y(2 * x.size());
  const auto bytes = [](const std::vector<float>& values) { return values.size() * sizeof(float); };
  void* xs = backend.allocate(bytes(x));
  void* weights = backend.allocate(bytes(weight));
  void* ys = backend.allocate(bytes(y));
  backend.copy_from_host(xs, x.data(), bytes(x));
  backend.copy_from_host(weights, weight.data(), bytes(weight));
  backend.conv1d_forward({}, {xs, DType::f32, {1, steps, 1}}, {weights, DType::f32, {1, 1, 2}}, {},
                         {ys, DType::f32, {1, steps, 2}});
  backend.copy_to_host(y.data(), ys, bytes(y));
  backend.deallocate(ys, bytes(y));
  backend.deallocate(weights, bytes(weight));
  backend.deallocate(xs, bytes(x));
  return y;
}

const std::vector<float> ones{1.0F, 1.0F, 1.0F};

TEST(AskedPlans, DeterministicModeTakesDeterministicOnesAlone) {
  for (const char* plans : {"cudnn:1", "cudnn-ncl:1"}) {
    BackendOptions options = asked(plans);
    options.deterministic = false;
    const std::shared_ptr<Backend> loose = make_backend("cuda", options);
    EXPECT_NE(convolved(*loose, ones), convolved(*loose, ones)) << plans;
  }
  for (const char* plans : {"cudnn:1", "cudnn-ncl:1", "measure"}) {
    const std::shared_ptr<Backend> strict = make_backend("cuda", asked(plans));
    EXPECT_EQ(convolved(*strict, ones), convolved(*strict, ones)) << plans;
  }
}

TEST(AskedPlans, FactorsAreRoundedOnlyWhereItIsAsked) {
  for (const char* plans : {"cudnn:0", "cublaslt:", "own-tf32", "measure"}) {
    EXPECT_EQ(convolved(*make_backend("cuda", asked(plans)), ones)[0], 1.0F + 0x1p-12F) << plans;
  }
  for (const char* plans : {"cudnn:0", "cublaslt:", "own-tf32"}) {
    BackendOptions options = asked(plans);
    options.tf32 = true;
    EXPECT_EQ(convolved(*make_backend("cuda", options), ones)[0], 1.0F) << plans;
  }
}

TEST(AskedPlans, TheEnvironmentCountsBeforeTheOptions) {
  BackendOptions options = asked("cudnn:1");
  options.deterministic = false;
  const EnvironmentVariable none("CARDIOGRAD_PLANS", nullptr);
  cuda::PlanOptions plans = cuda::plan_options(options);
  EXPECT_EQ(plans.rules.only, "cudnn:1");
  EXPECT_EQ(plans.file, "off");
  EXPECT_FALSE(plans.rules.deterministic);
  const EnvironmentVariable only("CARDIOGRAD_PLANS", "measure"), file("CARDIOGRAD_PLAN_FILE", "p"),
      strict("CARDIOGRAD_DETERMINISTIC", "1");
  plans = cuda::plan_options(options);
  EXPECT_EQ(plans.rules.only, "");
  EXPECT_EQ(plans.file, "p");
  EXPECT_TRUE(plans.rules.deterministic);
  const EnvironmentVariable wrong("CARDIOGRAD_DETERMINISTIC", "yes");
  EXPECT_EQ(testing::error_of([] { make_backend("cuda"); }),
            "CARDIOGRAD_DETERMINISTIC is 0 or 1, not \"yes\"");
}

}  // namespace
}  // namespace cardiograd
