// Attention, the transformer's layers, embedding and upsampling against PyTorch's: outputs and all
// gradients, on the CPU backend.
#include <functional>
#include <gtest/gtest.h>

#include "nn/state_dict.h"
#include "nn/transformer.h"
#include "tests/support/golden.h"

namespace cardiograd {
namespace {

using testing::GoldenFile;
using testing::relative_difference;

constexpr double tolerance = 2e-6;  // of the largest element

class Attention : public ::testing::Test {
 protected:
  using Inputs = std::vector<Tensor>;
  using Function = std::function<Tensor(const Inputs&)>;

  void expect_close(const Tensor& actual, const std::string& name) {
    ASSERT_TRUE(actual.defined()) << name;
    EXPECT_EQ(actual.dims(), golden_.file().view(name).dims) << name;
    EXPECT_LE(relative_difference(actual.to_vector<float>(), golden_.values(name)), tolerance)
        << name;
  }

  // The output and all gradients of `function`, with the golden parameters in `module`.
  void expect_layer(const std::string& name, Module& module, const std::vector<std::string>& names,
                    const Function& function) {
    const std::vector<NamedTensor> parameters = module.parameters();
    StateDict state;
    for (const NamedTensor& parameter : parameters) {
      state.push_back({parameter.name, golden_.tensor(name + "." + parameter.name)});
    }
    load_tensors(parameters, state, name);
    Inputs inputs;
    for (const std::string& input : names) {
      inputs.push_back(golden_.tensor(name + "." + input));
      inputs.back().set_requires_grad(true);
    }
    const Tensor y = function(inputs);
    expect_close(y, name + ".y");
    y.backward(golden_.tensor(name + ".dy"));
    for (std::size_t i = 0; i < names.size(); ++i) {
      expect_close(inputs[i].grad(), name + ".d" + names[i]);
    }
    for (const NamedTensor& parameter : parameters) {
      expect_close(parameter.tensor.grad(), name + ".d" + parameter.name);
    }
  }

  void expect_attention(const std::string& name, const MultiheadAttention::Masks& masks) {
    MultiheadAttention layer(context_, 12, 3);
    expect_layer(name, layer, {"query", "key", "value"},
                 [&](const Inputs& x) { return layer(x[0], x[1], x[2], masks); });
  }

  Tensor integers(const std::string& name, DType dtype) {
    const ConstView view = golden_.file().view(name);
    const std::span<const std::int32_t> values(view.as<std::int32_t>(),
                                               static_cast<std::size_t>(view.numel()));
    return Tensor::from_host<std::int32_t>(backend_, view.dims, dtype, values);
  }

  std::shared_ptr<Backend> backend_ = make_backend("cpu");
  GoldenFile golden_{"attention.safetensors", backend_};
  TorchGenerator random_{1};
  BuildContext context_{backend_, DType::f32, &random_};
  TransformerOptions options_{12, 3, 20, 0.0};
};

TEST_F(Attention, MultiheadAttention) {
  expect_attention("mha", {});
  expect_attention("mha.padding", {.padding = integers("padding", DType::u8)});
  expect_attention("mha.mask", {.mask = golden_.tensor("mask")});
  expect_attention("mha.causal", {.causal = true});
}

TEST_F(Attention, EncoderLayer) {
  TransformerEncoderLayer layer(context_, options_);
  expect_layer("encoder", layer, {"x"}, [&](const Inputs& x) { return layer(x[0]); });
}

TEST_F(Attention, DecoderLayer) {
  TransformerDecoderLayer layer(context_, options_);
  expect_layer("decoder", layer, {"x", "memory"},
               [&](const Inputs& x) { return layer(x[0], x[1]); });
}

TEST_F(Attention, Embedding) {
  Embedding layer(context_, 7, 4);
  expect_layer("embedding", layer, {},
               [&](const Inputs&) { return layer(integers("indices", DType::i32)); });
}

TEST_F(Attention, Upsample) {
  const Upsample layer(3);
  Tensor x = golden_.sequence("upsample.x");
  x.set_requires_grad(true);
  const Tensor y = layer(x);
  expect_close(testing::swap_time_and_channels(y), "upsample.y");
  y.backward(golden_.sequence("upsample.dy"));
  expect_close(testing::swap_time_and_channels(x.grad()), "upsample.dx");
}

TEST_F(Attention, SinusoidalPositions) {
  expect_close(sinusoidal_positions(context_, 9, 13), "positions");
}

}  // namespace
}  // namespace cardiograd
