// Optimizers: the weights' average, learning rates, bf16 models, and going on from a state.
#include "nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "nn/layers.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::TempFolder;
using Values = std::vector<float>;

constexpr std::int64_t inputs = 7;
constexpr std::int64_t outputs = 5;

// A linear layer whose gradients are set by hand, so that the CPU can train it in bf16 too.
struct Trained {
  std::shared_ptr<Backend> backend = make_backend("cpu");
  TorchGenerator random;
  Linear layer;
  FlatParameters parameters;
  Optimizer optimizer;

  Trained(const OptimizerOptions& options, DType dtype = DType::f32, std::uint64_t seed = 1)
      : random(seed),
        layer({backend, dtype, &random}, inputs, outputs),
        parameters(layer, {.decay_groups = true}),
        optimizer(options, parameters) {}

  void compute_gradients() {
    parameters.zero_grad();
    for (const Tensor& parameter : {layer.weight, layer.bias}) {
      Values gradient(static_cast<std::size_t>(parameter.numel()));
      const auto count = static_cast<int>(optimizer.steps());
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        gradient[i] = static_cast<float>((static_cast<int>(i) * 5 + count * 3) % 13 - 6) / 8.0F;
      }
      parameter.backward(
          Tensor::from_host<float>(backend, parameter.dims(), parameter.dtype(), gradient));
    }
  }
  void step() {
    compute_gradients();
    optimizer.step(1.5);
  }
  Values weights() const { return parameters.values().to_vector<float>(); }
};

std::vector<OptimizerOptions> all_optimizers() {
  std::vector<OptimizerOptions> all;
  for (const char* name : {"sgd", "rmsprop", "adam", "adamw"}) {
    OptimizerOptions options = optimizer_defaults(name);
    options.weight_decay = 0.1;
    options.ema_decay = 0.3;
    all.push_back(options);
    if (options.kind == OptimizerKind::sgd || options.kind == OptimizerKind::rmsprop) {
      options.momentum = 0.9;
      options.nesterov = options.kind == OptimizerKind::sgd;
      options.centered = options.kind == OptimizerKind::rmsprop;
      all.push_back(options);
    }
  }
  return all;
}

TEST(Optimizer, GoesOnFromItsStateWithTheSameBits) {
  const TempFolder folder;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const OptimizerOptions& options : all_optimizers()) {
      Trained whole(options, dtype);
      for (int step = 0; step < 4; ++step) whole.step();
      save_state(folder / "model.safetensors", state_dict(whole.layer));
      save_state(folder / "optimizer.safetensors", whole.optimizer.state_dict());
      for (int step = 0; step < 4; ++step) whole.step();

      Trained resumed(options, dtype, 2);
      load_state_dict(resumed.layer, read_state(folder / "model.safetensors", resumed.backend),
                      "model");
      resumed.optimizer.load_state_dict(
          read_state(folder / "optimizer.safetensors", resumed.backend), "state");
      EXPECT_EQ(resumed.optimizer.steps(), 4);
      for (int step = 0; step < 4; ++step) resumed.step();

      EXPECT_EQ(resumed.weights(), whole.weights());
      const StateDict expected = whole.optimizer.state_dict();
      const StateDict actual = resumed.optimizer.state_dict();
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_EQ(actual[i].name, expected[i].name);
        EXPECT_EQ(actual[i].value.to_vector<float>(), expected[i].value.to_vector<float>())
            << expected[i].name;
      }
    }
  }
}

TEST(Optimizer, AveragesTheWeightsWithAWarmUp) {
  OptimizerOptions options = optimizer_defaults("sgd");
  options.lr = 0.25;
  options.ema_decay = 0.3;
  Trained trained(options);
  Values average = trained.weights();
  for (int step = 1; step <= 6; ++step) {
    trained.step();
    const double decay = std::min(0.3, (1.0 + step) / (10.0 + step));
    const Values weights = trained.weights();
    for (std::size_t i = 0; i < average.size(); ++i) {
      average[i] = static_cast<float>(decay * average[i] + (1.0 - decay) * weights[i]);
    }
    const AveragedWeights averaged(trained.optimizer);
    const Values shown = trained.weights();
    for (std::size_t i = 0; i < average.size(); ++i) EXPECT_NEAR(shown[i], average[i], 1e-6F);
    EXPECT_NE(shown, weights);
  }
}

TEST(Optimizer, TheModelHasTheAverageForAWhile) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    OptimizerOptions options = optimizer_defaults("adam");
    options.ema_decay = 0.5;
    Trained trained(options, dtype);
    const Values initial = trained.weights();
    {
      const AveragedWeights averaged(trained.optimizer);
      EXPECT_EQ(trained.weights(), initial) << "before the first step there is none";
    }
    for (int step = 0; step < 20; ++step) trained.step();
    const Values weights = trained.weights();
    {
      const AveragedWeights averaged(trained.optimizer);
      const StateDict state = trained.optimizer.state_dict();
      const auto average = std::find_if(state.begin(), state.end(), [](const StateEntry& entry) {
        return entry.name == "weight.average";
      });
      ASSERT_NE(average, state.end());
      EXPECT_EQ(average->value.dtype(), DType::f32);
      const Values expected = average->value.to_vector<float>();
      const Values shown = trained.layer.weight.to_vector<float>();
      for (std::size_t i = 0; i < shown.size(); ++i) {
        EXPECT_NEAR(shown[i], expected[i], dtype == DType::f32 ? 0.0F : 0.01F);
      }
      EXPECT_NE(trained.weights(), weights);
      const std::string text = error_of([&] { trained.step(); });
      EXPECT_EQ(text.substr(0, text.rfind(" (nn/")),
                "a step cannot be done while the model has the averaged weights");
      EXPECT_NE(error_of([&] { const AveragedWeights twice(trained.optimizer); }), "");
    }
    EXPECT_EQ(trained.weights(), weights);
  }
}

// Weights that are loaded after the optimizer was made are those that it steps and averages.
TEST(Optimizer, BeginsWithTheWeightsOfTheFirstStep) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    OptimizerOptions options = optimizer_defaults("adamw");
    options.ema_decay = 0.9;
    Trained from(options, dtype, 1);
    Trained to(options, dtype, 2);
    load_state_dict(to.layer, state_dict(from.layer), "model");
    from.step();
    to.step();
    EXPECT_EQ(to.weights(), from.weights());
    const AveragedWeights averaged_from(from.optimizer);
    const AveragedWeights averaged_to(to.optimizer);
    EXPECT_EQ(to.weights(), from.weights());
  }
}

TEST(Optimizer, AStateFitsOneThatKeepsAnAverageOrNot) {
  OptimizerOptions options = optimizer_defaults("adam");
  Trained without(options);
  options.ema_decay = 0.99;
  Trained with(options);
  EXPECT_EQ(error_of([&] {
              with.optimizer.load_state_dict(without.optimizer.state_dict(), "optimizer.st");
            }),
            "optimizer.st has no average of the weights to go on with: set ema_decay to 0, or go "
            "on from a state that was saved with an average");
  EXPECT_EQ(error_of([&] {
              without.optimizer.load_state_dict(with.optimizer.state_dict(), "optimizer.st");
            }),
            "optimizer.st has an average of the weights, which would be lost: set ema_decay to "
            "what that run had");
  options.ema_decay = 1.0;
  EXPECT_EQ(error_of([&] { const Trained trained(options); }),
            "the decay of the weights' average must lie in [0, 1), got 1");
}

// Borders in the decayed weights, between them and the others, and in those.
TEST(Optimizer, PartsOfAnUpdateMakeAWholeOne) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const OptimizerOptions& options : all_optimizers()) {
      Trained whole(options, dtype), parts(options, dtype);
      parts.optimizer.collect_with([] {});
      const std::int64_t decayed = parts.parameters.decayed(),
                         all = parts.parameters.values().numel();
      for (int step = 0; step < 3; ++step) {
        whole.compute_gradients();
        whole.optimizer.step();
        parts.compute_gradients();
        parts.optimizer.begin_step();
        std::int64_t first = 0;
        for (const std::int64_t end : {std::int64_t{3}, decayed - 2, decayed + 2, all}) {
          parts.optimizer.update_part(first, end - first);
          first = end;
        }
      }
      EXPECT_EQ(parts.weights(), whole.weights());
      const StateDict mine = parts.optimizer.state_dict(), theirs = whole.optimizer.state_dict();
      for (std::size_t i = 0; i < theirs.size(); ++i) {
        EXPECT_EQ(mine[i].value.to_vector<float>(), theirs[i].value.to_vector<float>())
            << theirs[i].name;
      }
    }
  }
}

// What is not a number holds every part of an update back.
TEST(Optimizer, AGuardHoldsAPartBack) {
  Trained trained(optimizer_defaults("adam"));
  trained.optimizer.collect_with([] {});
  trained.compute_gradients();
  const Values before = trained.weights();
  const Tensor guard = Tensor::full(trained.backend, {1}, DType::f32, std::nan(""));
  trained.optimizer.begin_step();
  trained.optimizer.update_part(0, trained.parameters.values().numel(), guard);
  EXPECT_EQ(trained.weights(), before);
}

TEST(Optimizer, CollectsWhatOthersUpdatedWhenItIsRead) {
  OptimizerOptions options = optimizer_defaults("adam");
  options.ema_decay = 0.5;
  Trained trained(options);
  EXPECT_EQ(trained.optimizer.kept().size(), 3U);
  EXPECT_THROW(trained.optimizer.update_part(0, 1), ShapeError);
  int collected = 0;
  trained.optimizer.collect_with([&] { ++collected; });
  const auto update_a_part = [&] {
    trained.compute_gradients();
    trained.optimizer.begin_step();
    trained.optimizer.update_part(0, 16);
  };
  update_a_part();
  EXPECT_EQ(collected, 0);
  const StateDict state = trained.optimizer.state_dict();
  EXPECT_EQ(collected, 1);
  static_cast<void>(trained.optimizer.model_state(trained.layer));
  EXPECT_EQ(collected, 1) << "nothing is new";
  update_a_part();
  { const AveragedWeights averaged(trained.optimizer); }
  EXPECT_EQ(collected, 2);
  update_a_part();
  static_cast<void>(trained.optimizer.model_state(trained.layer));
  EXPECT_EQ(collected, 3);
  update_a_part();
  trained.optimizer.load_state_dict(state, "a state");
  static_cast<void>(trained.optimizer.state_dict());
  EXPECT_EQ(collected, 3) << "what was loaded is whole, and the others may be loading still";
}

TEST(Optimizer, FollowsTheLearningRate) {
  OptimizerOptions options = optimizer_defaults("sgd");
  options.lr = 0.0;
  Trained trained(options);
  const Values before = trained.weights();
  trained.step();
  EXPECT_EQ(trained.weights(), before);
  trained.optimizer.set_learning_rate(0.5);
  EXPECT_EQ(trained.optimizer.spec().lr, 0.5);
  trained.step();
  const Values gradients = trained.parameters.gradients().to_vector<float>();
  const double norm = trained.optimizer.last_gradient_norm();
  const Values after = trained.weights();
  for (std::size_t i = 0; i < after.size(); ++i) {
    const double factor = std::min(1.0, 1.5 / (norm + 1e-6));
    EXPECT_NEAR(after[i], before[i] - 0.5 * factor * gradients[i], 1e-6);
  }
}

TEST(Optimizer, FollowsTheMomentum) {
  OptimizerOptions options = optimizer_defaults("sgd");
  options.momentum = 0.9;
  options.lr = 1.0;
  Trained trained(options);
  trained.parameters.zero_grad();
  trained.layer.bias.backward(Tensor::full(trained.backend, {outputs}, DType::f32, 1.0));
  const float before = trained.layer.bias.to_vector<float>().front();
  trained.optimizer.step();
  trained.optimizer.set_momentum(0.5);
  trained.optimizer.step();
  EXPECT_NEAR(trained.layer.bias.to_vector<float>().front(), before - 1.0F - 1.5F, 1e-6F);
  Trained plain(optimizer_defaults("rmsprop"));
  plain.optimizer.set_momentum(0.5);
  EXPECT_EQ(plain.optimizer.spec().momentum, 0.0);
  Trained adam(optimizer_defaults("adam"));
  adam.optimizer.set_momentum(0.5);
  EXPECT_EQ(adam.optimizer.spec().beta1, 0.5);
}

// What was captured once is replayed with the next step's numbers.
TEST(Optimizer, TheSecondHalfReadsItsScheduleFromTheDevice) {
  OptimizerOptions options = optimizer_defaults("adam");
  options.ema_decay = 0.9;
  Trained whole(options);
  Trained halves(options);
  for (Trained* each : {&whole, &halves}) {
    each->parameters.zero_grad();
    each->layer.weight.backward(Tensor::full(each->backend, {outputs, inputs}, DType::f32, 0.25));
  }
  for (int step = 1; step <= 3; ++step) {
    whole.optimizer.set_learning_rate(0.1 / step);
    halves.optimizer.set_learning_rate(0.1 / step);
    whole.optimizer.step();
    halves.optimizer.begin_step();
    halves.optimizer.set_learning_rate(1e9);
    halves.optimizer.update();
  }
  EXPECT_EQ(halves.optimizer.steps(), 3);
  EXPECT_EQ(halves.weights(), whole.weights());
}

// What a checkpoint keeps of a model in bf16 is what an f32 model would have.
TEST(Optimizer, AModelsStateIsInF32) {
  OptimizerOptions options = optimizer_defaults("adamw");
  options.ema_decay = 0.3;
  Trained narrow(options, DType::bf16);
  const Values first = narrow.layer.bias.to_vector<float>();
  EXPECT_EQ(narrow.optimizer.model_state(narrow.layer)[1].value.to_vector<float>(), first);
  for (int step = 0; step < 3; ++step) narrow.step();
  const auto stepped = [&](const char* name) {
    for (const StateEntry& entry : narrow.optimizer.state_dict()) {
      if (entry.name == name) return entry.value.to_vector<float>();
    }
    return Values();
  };
  const StateDict own = narrow.optimizer.model_state(narrow.layer);
  ASSERT_EQ(own.size(), 2U);
  EXPECT_EQ(own[0].value.dtype(), DType::f32);
  EXPECT_EQ(own[0].value.to_vector<float>(), stepped("weight.master"));
  EXPECT_NE(own[1].value.to_vector<float>(), narrow.layer.bias.to_vector<float>());
  const AveragedWeights averaged(narrow.optimizer);
  EXPECT_EQ(narrow.optimizer.model_state(narrow.layer)[0].value.to_vector<float>(),
            stepped("weight.average"));
}

// The f32 copies take the steps that bf16 would swallow.
TEST(Optimizer, ABf16ModelFollowsItsF32Copies) {
  OptimizerOptions options = optimizer_defaults("adamw");
  options.weight_decay = 0.1;
  Trained narrow(options, DType::bf16);
  Trained wide(options, DType::f32);
  load_state_dict(wide.layer, state_dict(narrow.layer), "model");
  for (int step = 0; step < 5; ++step) {
    narrow.step();
    wide.step();
    for (const auto& [copy, own] : {std::pair{&narrow.layer.weight, &wide.layer.weight},
                                    std::pair{&narrow.layer.bias, &wide.layer.bias}}) {
      const Values rounded = copy->to_vector<float>();
      const Values exact = own->to_vector<float>();
      for (std::size_t i = 0; i < exact.size(); ++i) {
        EXPECT_EQ(rounded[i], static_cast<float>(BFloat16(exact[i])));
      }
    }
  }
  const StateDict state = narrow.optimizer.state_dict();
  ASSERT_EQ(state.size(), 7U);
  EXPECT_EQ(state[2].name, "weight.master");
  EXPECT_EQ(state[2].value.dtype(), DType::f32);
  EXPECT_EQ(state[2].value.to_vector<float>(), wide.layer.weight.to_vector<float>());
}

}  // namespace
}  // namespace cardiograd
