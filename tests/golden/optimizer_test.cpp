// Ten steps of every optimizer on a small network against PyTorch's: losses, final weights, and the
// norms that clipping saw.
#include "nn/optimizer.h"

#include <gtest/gtest.h>

#include "nn/layers.h"
#include "tests/support/golden.h"

namespace cardiograd {
namespace {

using testing::GoldenFile;
using testing::relative_difference;

constexpr int steps = 10;
constexpr double clip_norm = 0.05;
constexpr double loss_tolerance = 1e-6;
constexpr double weight_tolerance = 1e-5;

// nn.Sequential(Linear(6, 8), Tanh(), Linear(8, 3)), with its names.
class Network : public Module {
 public:
  explicit Network(const BuildContext& context) : first(context, 6, 8), last(context, 8, 3) {
    register_module("0", first);
    register_module("2", last);
  }
  Tensor operator()(const Tensor& x) const { return last(cardiograd::tanh(first(x))); }

  Linear first, last;
};

class Optimizers : public ::testing::Test {
 protected:
  void expect_trajectory(const std::string& name, const OptimizerOptions& spec,
                         bool clipped = false) {
    TorchGenerator random(8);
    const Network network({backend_, DType::f32, &random});
    FlatParameters parameters(network);
    Optimizer optimizer(spec, parameters);
    const Tensor x = golden_.tensor("x");
    const Tensor labels = golden_.tensor("labels");
    std::vector<float> losses, norms;
    for (int step = 0; step < steps; ++step) {
      parameters.zero_grad();
      const Tensor loss = bce_with_logits(network(x), labels);
      loss.backward();
      optimizer.step(clipped ? clip_norm : 0.0);
      losses.push_back(static_cast<float>(loss.item()));
      if (clipped) norms.push_back(static_cast<float>(optimizer.last_gradient_norm()));
    }
    EXPECT_EQ(optimizer.steps(), steps);
    EXPECT_LE(relative_difference(losses, golden_.values(name + ".losses")), loss_tolerance)
        << name;
    if (clipped) {
      EXPECT_LE(relative_difference(norms, golden_.values(name + ".norms")), weight_tolerance)
          << name;
    }
    for (const StateEntry& entry : state_dict(network)) {
      EXPECT_LE(relative_difference(entry.value.to_vector<float>(),
                                    golden_.values(name + "." + entry.name)),
                weight_tolerance)
          << name << " " << entry.name;
    }
  }

  std::shared_ptr<Backend> backend_ = make_backend("cpu");
  GoldenFile golden_{"optimizers.safetensors", backend_};
};

TEST_F(Optimizers, Sgd) {
  OptimizerOptions spec = optimizer_defaults("sgd");
  spec.lr = 0.1;
  expect_trajectory("sgd", spec);
  spec.momentum = 0.9;
  expect_trajectory("sgd.momentum", spec);
  spec.momentum = 0.8;
  spec.dampening = 0.3;
  expect_trajectory("sgd.dampening", spec);
}

TEST_F(Optimizers, SgdNesterov) {
  OptimizerOptions spec = optimizer_defaults("sgd");
  spec.lr = 0.05;
  spec.momentum = 0.9;
  spec.nesterov = true;
  spec.weight_decay = 0.01;
  expect_trajectory("sgd.nesterov", spec);
}

TEST_F(Optimizers, RmsProp) {
  OptimizerOptions spec = optimizer_defaults("rmsprop");
  spec.lr = 1e-3;
  expect_trajectory("rmsprop", spec);
  spec.alpha = 0.9;
  spec.eps = 1e-6;
  spec.centered = true;
  spec.momentum = 0.7;
  spec.weight_decay = 0.02;
  expect_trajectory("rmsprop.centered", spec);
}

TEST_F(Optimizers, Adam) {
  OptimizerOptions spec = optimizer_defaults("adam");
  spec.lr = 1e-2;
  expect_trajectory("adam", spec);
  spec.beta1 = 0.8;
  spec.beta2 = 0.95;
  spec.eps = 1e-6;
  spec.weight_decay = 0.05;
  expect_trajectory("adam.decay", spec);
}

TEST_F(Optimizers, AdamW) {
  OptimizerOptions spec = optimizer_defaults("adamw");
  spec.lr = 1e-2;
  spec.weight_decay = 0.1;
  expect_trajectory("adamw", spec);
}

TEST_F(Optimizers, GradientClipping) {
  OptimizerOptions sgd = optimizer_defaults("sgd");
  sgd.lr = 0.5;
  sgd.momentum = 0.9;
  expect_trajectory("sgd.clipped", sgd, true);
  OptimizerOptions adam = optimizer_defaults("adam");
  adam.lr = 1e-2;
  expect_trajectory("adam.clipped", adam, true);
}

// Weight decay on the weights alone, and the average of all parameters (make_ema_golden.py).
TEST_F(Optimizers, DecayGroupsAndTheAverage) {
  const GoldenFile golden("ema.safetensors", backend_);
  const Tensor x = golden.tensor("x");
  const Tensor labels = golden.tensor("labels");
  const std::vector<std::pair<std::string, double>> rates{
      {"sgd", 0.1}, {"rmsprop", 1e-3}, {"adam", 1e-2}, {"adamw", 1e-2}};
  for (const auto& [name, lr] : rates) {
    OptimizerOptions options = optimizer_defaults(name);
    options.lr = lr;
    options.momentum = name == "sgd" ? 0.9 : 0.0;
    options.weight_decay = 0.2;
    options.ema_decay = 0.4;
    TorchGenerator random(8);
    const Network network({backend_, DType::f32, &random});
    FlatParameters parameters(network, {.decay_groups = true});
    Optimizer optimizer(options, parameters);
    std::vector<float> losses;
    for (int step = 0; step < steps; ++step) {
      parameters.zero_grad();
      const Tensor loss = bce_with_logits(network(x), labels);
      loss.backward();
      optimizer.step();
      losses.push_back(static_cast<float>(loss.item()));
    }
    EXPECT_LE(relative_difference(losses, golden.values(name + ".losses")), loss_tolerance) << name;
    const auto expect_weights = [&, &model = name](const std::string& suffix) {
      for (const StateEntry& entry : state_dict(network)) {
        const std::string key = model + "." + entry.name + suffix;
        EXPECT_LE(relative_difference(entry.value.to_vector<float>(), golden.values(key)),
                  weight_tolerance)
            << key;
      }
    };
    expect_weights("");
    const AveragedWeights averaged(optimizer);
    expect_weights(".average");
  }
}

// PyTorch 2's own defaults.
TEST_F(Optimizers, Defaults) {
  EXPECT_EQ(optimizer_defaults("rmsprop").lr, 1e-2);
  EXPECT_EQ(optimizer_defaults("rmsprop").alpha, 0.99);
  EXPECT_EQ(optimizer_defaults("rmsprop").eps, 1e-8);
  EXPECT_EQ(optimizer_defaults("adam").lr, 1e-3);
  EXPECT_EQ(optimizer_defaults("adam").weight_decay, 0.0);
  EXPECT_EQ(optimizer_defaults("adamw").weight_decay, 1e-2);
  EXPECT_EQ(optimizer_defaults("adamw").beta2, 0.999);
}

}  // namespace
}  // namespace cardiograd
