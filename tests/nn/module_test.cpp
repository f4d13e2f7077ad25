// Modules: names, modes, flat parameters, state_dict.
#include "nn/module.h"

#include <cmath>
#include <cstdint>
#include <gtest/gtest.h>

#include "nn/layers.h"
#include "nn/optimizer.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::TempFolder;

using Values = std::vector<float>;

// Own parameters, children in an order of their own, a grandchild, buffers.
class Inner : public Module {
 public:
  explicit Inner(const BuildContext& context) : norm(context, 3), drop(0.5) {
    register_module("norm", norm);
    register_module("drop", drop);
  }
  BatchNorm1d norm;
  Dropout drop;
};

class Outer : public Module {
 public:
  explicit Outer(const BuildContext& context)
      : conv(context, 2, 3, 5),
        fc(context, Linear::after_flatten, 4, 3, 2),
        inner(context),
        unused(context, 3, 7) {
    register_module("fc", fc);
    register_module("inner", inner);
    register_module("conv", conv);
    register_module("unused", unused);
    offset = register_parameter("offset", Tensor::full(context.backend, {2}, context.dtype, 0.5));
    register_buffer("seen", Tensor::full(context.backend, {1}, context.dtype, 9.0));
  }
  // [N, 8, 2] -> [N, 2]; does not use `unused`.
  Tensor operator()(const Tensor& x) const { return add(fc(flatten(inner.norm(conv(x)))), offset); }

  Conv1d conv;
  Linear fc;
  Inner inner;
  Linear unused;
  Tensor offset;
};

class Modules : public ::testing::Test {
 protected:
  Outer make(std::uint64_t seed) const {
    TorchGenerator random(seed);
    return Outer({backend_, DType::f32, &random});
  }
  Tensor input() const {
    Values values(3 * 8 * 2);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 7) - 2.5F;
    return Tensor::from_host<float>(backend_, {3, 8, 2}, DType::f32, values);
  }
  static std::vector<std::string> names(const std::vector<NamedTensor>& entries) {
    std::vector<std::string> result;
    for (const NamedTensor& entry : entries) result.push_back(entry.name);
    return result;
  }
  // All tensors, in PyTorch's layout.
  static std::vector<Values> contents(const Module& module) {
    std::vector<Values> result;
    for (const StateEntry& entry : state_dict(module)) {
      result.push_back(entry.value.to_vector<float>());
    }
    return result;
  }

  std::shared_ptr<Backend> backend_ = make_backend("cpu");
};

TEST_F(Modules, NamesComeInOrderOfRegistrationOwnOnesFirst) {
  const Outer module = make(1);
  EXPECT_EQ(names(module.parameters()),
            (std::vector<std::string>{"offset", "fc.weight", "fc.bias", "inner.norm.weight",
                                      "inner.norm.bias", "conv.weight", "conv.bias",
                                      "unused.weight", "unused.bias"}));
  EXPECT_EQ(names(module.buffers()),
            (std::vector<std::string>{"seen", "inner.norm.running_mean", "inner.norm.running_var",
                                      "inner.norm.num_batches_tracked"}));
  EXPECT_EQ(module.parameter_count(), 2 + 24 + 2 + 3 + 3 + 30 + 3 + 21 + 7);
}

TEST_F(Modules, TheModeReachesEveryDescendant) {
  Outer module = make(1);
  EXPECT_TRUE(module.training() && module.inner.norm.training());
  module.eval();
  EXPECT_FALSE(module.training() || module.inner.training() || module.inner.drop.training());
  const Tensor x = Tensor::full(backend_, {2, 3}, DType::f32, 1.0);
  EXPECT_EQ(module.inner.drop(x).view().data, x.view().data);
  module.inner.norm(x);
  EXPECT_EQ(module.inner.norm.running_mean.to_vector<float>(), (Values{0, 0, 0}));
  module.train();
  EXPECT_TRUE(module.inner.drop.training());
  module.inner.norm(x);
  EXPECT_NE(module.inner.norm.running_mean.to_vector<float>(), (Values{0, 0, 0}));
}

// In one pass or in three, in training and evaluation: the same values, gradients and statistics.
TEST_F(Modules, BatchNormTakesAResidualAndReluInItsPass) {
  for (const bool training : {true, false}) {
    BatchNorm1d one({backend_, DType::f32, nullptr}, 2);
    BatchNorm1d apart({backend_, DType::f32, nullptr}, 2);
    one.train(training);
    apart.train(training);
    Tensor residual = scale(input(), -0.7);
    Tensor same = scale(input(), -0.7);
    residual.set_requires_grad(true);
    same.set_requires_grad(true);
    EXPECT_EQ(one.relu(input()).to_vector<float>(), relu(apart(input())).to_vector<float>());
    const Tensor y = one.relu(input(), residual);
    const Tensor expected = relu(add(apart(input()), same));
    EXPECT_EQ(y.to_vector<float>(), expected.to_vector<float>());
    y.backward(input());
    expected.backward(input());
    EXPECT_EQ(residual.grad().to_vector<float>(), same.grad().to_vector<float>());
    EXPECT_EQ(one.weight.grad().to_vector<float>(), apart.weight.grad().to_vector<float>());
    EXPECT_EQ(one.bias.grad().to_vector<float>(), apart.bias.grad().to_vector<float>());
    EXPECT_EQ(contents(one), contents(apart));
  }
}

// A running mean of 8 bits would stop moving, a count of batches at 256.
TEST_F(Modules, StatisticsOfABf16ModelAreF32) {
  const BatchNorm1d norm({backend_, DType::bf16, nullptr}, 3);
  for (const NamedTensor& parameter : norm.parameters()) {
    EXPECT_EQ(parameter.tensor.dtype(), DType::bf16) << parameter.name;
  }
  for (const NamedTensor& buffer : norm.buffers()) {
    EXPECT_EQ(buffer.tensor.dtype(), DType::f32) << buffer.name;
  }
}

TEST_F(Modules, ADropoutProbabilityIsChecked) {
  EXPECT_EQ(error_of([] { Dropout(1.5); }),
            "a dropout probability must lie in [0, 1], got 1.500000");
  EXPECT_NE(error_of([] { Dropout(std::nan("")); }), "");
}

TEST_F(Modules, ConvolutionGroupsMustDivideTheChannels) {
  TorchGenerator random(1);
  const std::string text = error_of([&] {
    Conv1d({backend_, DType::f32, &random}, 4, 6, 3, {.groups = 4});
  });
  EXPECT_EQ(text.substr(0, text.rfind(" (nn/")),
            "Conv1d: 4 group(s) do not divide 4 input and 6 output channels");
}

TEST_F(Modules, FlatParametersKeepTheValuesAndAlignThem) {
  const Outer module = make(1);
  const std::vector<Values> before = contents(module);
  const FlatParameters flat(module);
  EXPECT_EQ(contents(module), before);
  ASSERT_EQ(flat.spans().size(), module.parameters().size());
  std::int64_t end = 0;
  for (std::size_t i = 0; i < flat.spans().size(); ++i) {
    const FlatParameters::Span& span = flat.spans()[i];
    const NamedTensor entry = module.parameters()[i];
    EXPECT_EQ(span.name, entry.name);
    EXPECT_GE(span.offset, end);
    end = span.offset + span.dims.numel();
    for (const Tensor& buffer : {flat.values(), flat.gradients()}) {
      const void* data = FlatParameters::part(buffer, span).view().data;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(data) % 64, 0U) << span.name;
    }
    EXPECT_EQ(entry.tensor.view().data, FlatParameters::part(flat.values(), span).view().data);
  }
  // The layer's own handle sees the move.
  EXPECT_EQ(module.offset.view().data, flat.values().view().data);
  EXPECT_EQ(flat.values().dims(), flat.gradients().dims());
}

TEST_F(Modules, FlatParametersWantOneDtypeAndSomeParameters) {
  TorchGenerator random(1);
  class Mixed : public Module {
   public:
    Mixed(const BuildContext& a, const BuildContext& b) : first(a, 2, 2), second(b, 2, 2) {
      register_module("first", first);
      register_module("second", second);
    }
    Linear first, second;
  };
  const Mixed mixed({backend_, DType::f32, &random}, {backend_, DType::f64, &random});
  const auto sentence_of = [](const Module& module) {
    const std::string text = error_of([&] { FlatParameters{module}; });
    return text.substr(0, text.rfind(" (nn/"));
  };
  EXPECT_EQ(sentence_of(mixed), "parameter second.weight is f64, the others are f32");
  EXPECT_EQ(sentence_of(Dropout(0.5)), "a module without parameters cannot be trained");
}

// Elements of `flat` that belong to no parameter.
Values padding_of(const FlatParameters& parameters, const Tensor& flat) {
  Values values = flat.to_vector<float>();
  std::vector<bool> owned(values.size(), false);
  for (const FlatParameters::Span& span : parameters.spans()) {
    for (std::int64_t i = 0; i < span.dims.numel(); ++i) {
      owned[static_cast<std::size_t>(span.offset + i)] = true;
    }
  }
  Values padding;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!owned[i]) padding.push_back(values[i]);
  }
  return padding;
}

TEST_F(Modules, PaddingStaysZeroThroughEveryOptimizer) {
  for (const std::string name : {"sgd", "rmsprop", "adam", "adamw"}) {
    const Outer module = make(1);
    FlatParameters parameters(module);
    OptimizerOptions spec = optimizer_defaults(name);
    spec.weight_decay = 0.1;
    spec.momentum = 0.9;
    Optimizer optimizer(spec, parameters);
    const Values before = module.offset.to_vector<float>();
    for (int step = 0; step < 3; ++step) {
      parameters.zero_grad();
      sum(module(input())).backward();
      optimizer.step(1.0);
    }
    const Values padding = padding_of(parameters, parameters.values());
    EXPECT_GT(padding.size(), 20U);
    EXPECT_EQ(padding, Values(padding.size(), 0.0F)) << name;
    EXPECT_EQ(padding_of(parameters, parameters.gradients()), padding) << name;
    EXPECT_NE(module.offset.to_vector<float>(), before) << name;
  }
}

TEST_F(Modules, ParametersWithoutAUseGetAGradientOfZero) {
  const Outer module = make(1);
  FlatParameters parameters(module);
  backend_->fill(parameters.gradients().view(), 7.0);
  sum(module(input())).backward();
  EXPECT_FALSE(module.unused.weight.grad().defined());
  parameters.finish_gradients();
  EXPECT_EQ(module.unused.weight.grad().to_vector<float>(), Values(21, 0.0F));
  EXPECT_EQ(module.offset.grad().to_vector<float>(), (Values{3.0F, 3.0F}));
  parameters.zero_grad();
  EXPECT_FALSE(module.offset.grad().defined());
}

TEST_F(Modules, StateDictHasTorchsShapesAndOrder) {
  const Outer module = make(1);
  const StateDict state = state_dict(module);
  const auto find = [&](const std::string& name) {
    for (const StateEntry& entry : state) {
      if (entry.name == name) return entry.value;
    }
    return Tensor();
  };
  const Tensor conv = find("conv.weight");
  EXPECT_EQ(conv.dims(), (Dims{3, 2, 5}));
  const Values stored = module.conv.weight.to_vector<float>();  // [5, 2, 3]
  EXPECT_EQ(conv.to_vector<float>()[(2 * 2 + 1) * 5 + 4], stored[(4 * 2 + 1) * 3 + 2]);
  const Tensor fc = find("fc.weight");
  EXPECT_EQ(fc.dims(), (Dims{2, 12}));
  const Values columns = module.fc.weight.to_vector<float>();  // [2, time 4 x channel 3]
  EXPECT_EQ(fc.to_vector<float>()[12 + 2 * 4 + 1], columns[12 + 1 * 3 + 2]);
}

TEST_F(Modules, StateDictGoesThroughAFile) {
  const TempFolder folder;
  Outer from = make(1);
  from(input());  // running statistics of its own
  save_state(folder / "model.safetensors", state_dict(from), {{"epoch", "3"}});
  Outer to = make(2);
  FlatParameters flat(to);
  ASSERT_NE(contents(to), contents(from));
  load_state_dict(to, read_state(folder / "model.safetensors", backend_), "model.safetensors");
  EXPECT_EQ(contents(to), contents(from));
  EXPECT_EQ(to.offset.view().data, flat.values().view().data);
  from.eval();
  to.eval();
  EXPECT_EQ(to(input()).to_vector<float>(), from(input()).to_vector<float>());
  EXPECT_EQ(SafetensorsFile(folder / "model.safetensors").metadata().at("epoch"), "3");
}

TEST_F(Modules, StateDictOfAnotherDtypeIsConverted) {
  TorchGenerator random(1);
  const Linear wide({backend_, DType::f64, &random}, 3, 2);
  Linear narrow({backend_, DType::f32, &random}, 3, 2);
  load_state_dict(narrow, state_dict(wide), "wide");
  EXPECT_EQ(contents(narrow), contents(wide));
}

TEST_F(Modules, WhatDoesNotFitIsListedAtOnceAndNothingChanges) {
  Outer module = make(1);
  const std::vector<Values> before = contents(module);
  StateDict state = state_dict(make(2));
  std::erase_if(state, [](const StateEntry& entry) {
    return entry.name == "conv.bias" || entry.name == "seen";
  });
  const Tensor other = Tensor::full(backend_, {5, 2, 3}, DType::f32, 0.0);
  for (StateEntry& entry : state) {
    if (entry.name == "conv.weight" || entry.name == "offset") entry.value = other;
  }
  state.push_back({"head.weight", other});
  state.push_back({"head.bias", other});
  EXPECT_EQ(error_of([&] { load_state_dict(module, state, "best/model.safetensors"); }),
            "best/model.safetensors does not fit this model: it lacks conv.bias, seen; it has the "
            "unknown head.bias, head.weight; shapes differ for offset ([5, 2, 3] there, [2] here), "
            "conv.weight ([5, 2, 3] there, [3, 2, 5] here).");
  EXPECT_EQ(contents(module), before);
}

TEST_F(Modules, AnOptimizerGoesOnFromItsStateWithTheSameBits) {
  const TempFolder folder;
  const auto run = [&](const Outer& module, FlatParameters& parameters, Optimizer& optimizer) {
    for (int step = 0; step < 3; ++step) {
      parameters.zero_grad();
      sum(multiply(module(input()), module(input()))).backward();
      optimizer.step();
    }
  };
  Outer first = make(1);
  FlatParameters first_parameters(first);
  Optimizer first_optimizer(optimizer_defaults("adamw"), first_parameters);
  run(first, first_parameters, first_optimizer);
  save_state(folder / "model.safetensors", state_dict(first));
  save_state(folder / "optimizer.safetensors", first_optimizer.state_dict());
  run(first, first_parameters, first_optimizer);

  Outer second = make(2);
  FlatParameters second_parameters(second);
  Optimizer second_optimizer(optimizer_defaults("adamw"), second_parameters);
  load_state_dict(second, read_state(folder / "model.safetensors", backend_), "model");
  second_optimizer.load_state_dict(read_state(folder / "optimizer.safetensors", backend_), "state");
  EXPECT_EQ(second_optimizer.steps(), 3);
  run(second, second_parameters, second_optimizer);
  EXPECT_EQ(contents(second), contents(first));
}

TEST_F(Modules, OptimizerStateHasTorchsNamesAndShapes) {
  TorchGenerator random(1);
  const Conv1d conv({backend_, DType::f32, &random}, 2, 3, 5);
  FlatParameters parameters(conv);
  OptimizerOptions spec = optimizer_defaults("rmsprop");
  spec.momentum = 0.9;
  Optimizer optimizer(spec, parameters);
  const StateDict state = optimizer.state_dict();
  ASSERT_EQ(state.size(), 5U);
  EXPECT_EQ(state[0].name, "weight.square_avg");
  EXPECT_EQ(state[0].value.dims(), (Dims{3, 2, 5}));
  EXPECT_EQ(state[1].name, "weight.momentum_buffer");
  EXPECT_EQ(state[4].name, "step");
  EXPECT_EQ(error_of([&] {
              optimizer.load_state_dict({state[1], state[2], state[3]}, "o.st");
            }),
            "o.st does not fit this model: it lacks weight.square_avg, step.");
  EXPECT_EQ(error_of([] { optimizer_defaults("rmsporp"); }),
            "optimizer \"rmsporp\" is unknown; did you mean \"rmsprop\"? Known are sgd, rmsprop, "
            "adam, adamw");
}

}  // namespace
}  // namespace cardiograd
