// Generator and critic against PyTorch's, from the initial values of one seed: outputs, and the
// losses of eight turns of each.
#include <gtest/gtest.h>

#include "models/seed_dcgan.h"
#include "nn/optimizer.h"
#include "nn/tape.h"
#include "tests/support/golden.h"

namespace cardiograd {
namespace {

using testing::GoldenFile;
using testing::relative_difference;

constexpr DcganOptions small{12, 60, 5};

OptimizerOptions adam() {
  OptimizerOptions spec = optimizer_defaults("adam");
  spec.lr = 2e-4;
  spec.beta1 = 0.5;
  return spec;
}

class Dcgan : public ::testing::Test {
 protected:
  Tensor noise(std::int64_t step) const {
    const Tensor one = slice(golden_.tensor("noise"), 0, step, 1);
    return reshape(one, {one.size(1), one.size(2), one.size(3)});
  }
  static Tensor judge(const Tensor& logits, double label) {
    return bce_with_logits(logits,
                           Tensor::full(logits.backend(), logits.dims(), DType::f32, label));
  }

  std::shared_ptr<Backend> backend_ = make_backend("cpu");
  GoldenFile golden_{"dcgan.safetensors", backend_};
  TorchGenerator random_{7};
  BuildContext context_{backend_, DType::f32, &random_};
  EcgGenerator generator_{context_, small};
  EcgCritic critic_{context_, small};
};

TEST_F(Dcgan, GivesPyTorchsOutputs) {
  const NoGradScope no_grad;
  generator_.eval();
  critic_.eval();
  EXPECT_EQ(generator_.noise_dims(6), (Dims{6, 8, 5}));
  EXPECT_LE(
      relative_difference(testing::swap_time_and_channels(generator_(noise(0))).to_vector<float>(),
                          golden_.values("generated_eval")),
      3e-6);
  EXPECT_LE(relative_difference(critic_(golden_.sequence("signal")).to_vector<float>(),
                                golden_.values("logits_eval")),
            3e-6);
}

TEST_F(Dcgan, TakesTurnsAsPyTorchDoes) {
  FlatParameters generator_parameters(generator_), critic_parameters(critic_);
  Optimizer generator_optimizer(adam(), generator_parameters);
  Optimizer critic_optimizer(adam(), critic_parameters);
  const Tensor signal = golden_.sequence("signal");
  const std::vector<float> expected = golden_.values("losses");
  std::vector<float> losses;
  for (std::int64_t step = 0; step < golden_.tensor("noise").size(0); ++step) {
    critic_parameters.zero_grad();
    const Tensor made = generator_(noise(step)).detach();
    Tensor loss = add(judge(critic_(signal), 1.0), judge(critic_(made), 0.0));
    loss.backward();
    critic_optimizer.step();
    losses.push_back(static_cast<float>(loss.item()));

    generator_parameters.zero_grad();
    critic_parameters.zero_grad();
    loss = judge(critic_(generator_(noise(step))), 1.0);
    loss.backward();
    generator_optimizer.step();
    losses.push_back(static_cast<float>(loss.item()));
  }
  ASSERT_EQ(losses.size(), expected.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(losses[i], expected[i], 2e-4 * expected[i]) << i;
  }
}

}  // namespace
}  // namespace cardiograd
