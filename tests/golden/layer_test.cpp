// Layers against PyTorch's: outputs and all gradients, on the CPU backend.
#include <functional>
#include <gtest/gtest.h>
#include <set>

#include "nn/recurrent.h"
#include "nn/state_dict.h"
#include "tests/support/golden.h"

namespace cardiograd {
namespace {

using testing::GoldenFile;
using testing::relative_difference;
using testing::swap_time_and_channels;

// Of the largest element; float32 sums of up to a few hundred terms.
constexpr double tolerance = 2e-6;

// How PyTorch's tensors compare with ours.
enum class Layout {
  same,
  sequence,  // [N, C, L] there, [N, L, C] here
};

class Layers : public ::testing::Test {
 protected:
  explicit Layers(const std::string& file = "layers.safetensors") : golden_(file, backend_) {}

  using Function = std::function<Tensor(const Tensor&)>;

  Tensor read(const std::string& name, Layout layout) {
    return layout == Layout::sequence ? golden_.sequence(name) : golden_.tensor(name);
  }

  void expect_close(const Tensor& actual, const std::string& name, Layout layout) {
    ASSERT_TRUE(actual.defined()) << name;
    const Tensor torch = layout == Layout::sequence ? swap_time_and_channels(actual) : actual;
    EXPECT_EQ(torch.dims(), golden_.file().view(name).dims) << name;
    EXPECT_LE(relative_difference(torch.to_vector<float>(), golden_.values(name)), tolerance)
        << name;
  }

  // The output and the input's gradient of `function`.
  void expect_function(const std::string& name, Layout layout, const Function& function) {
    Tensor x = read(name + ".x", layout);
    x.set_requires_grad(true);
    const Tensor y = function(x);
    expect_close(y, name + ".y", layout);
    y.backward(read(name + ".dy", layout));
    expect_close(x.grad(), name + ".dx", layout);
  }

  // The same with the golden parameters in `module`, and their gradients.
  void expect_layer(const std::string& name, Layout layout, Module& module,
                    const Function& function) {
    const std::vector<NamedTensor> parameters = module.parameters();
    StateDict state;
    for (const NamedTensor& parameter : parameters) {
      parameter.tensor.impl()->gradient_stale = true;
      state.push_back({parameter.name, golden_.tensor(name + "." + parameter.name)});
    }
    load_tensors(parameters, state, name);
    expect_function(name, layout, function);
    for (const NamedTensor& parameter : parameters) {
      expect_close(to_torch(parameter.tensor.grad(), parameter.layout),
                   name + ".d" + parameter.name, Layout::same);
    }
  }

  template <class Layer>
  void expect_layer(const std::string& name, Layout layout, Layer&& layer) {
    expect_layer(name, layout, layer, [&layer](const Tensor& x) { return layer(x); });
  }

  std::shared_ptr<Backend> backend_ = make_backend("cpu");
  GoldenFile golden_;
  TorchGenerator random_{1};
  BuildContext context_{backend_, DType::f32, &random_};
};

TEST_F(Layers, Conv1d) {
  const Layout layout = Layout::sequence;
  expect_layer("conv.plain", layout, Conv1d(context_, 3, 5, 3));
  expect_layer("conv.pointwise", layout, Conv1d(context_, 6, 4, 1));
  expect_layer("conv.stride", layout, Conv1d(context_, 12, 8, 7, {.stride = 2, .padding = 3}));
  expect_layer("conv.dilation", layout, Conv1d(context_, 4, 6, 3, {.padding = 4, .dilation = 4}));
  expect_layer("conv.groups", layout, Conv1d(context_, 4, 6, 5, {.padding = 2, .groups = 2}));
  expect_layer("conv.depthwise", layout, Conv1d(context_, 8, 8, 39, {.padding = 19, .groups = 8}));
  expect_layer("conv.all", layout,
               Conv1d(context_, 6, 9, 4, {.stride = 3, .padding = 2, .dilation = 2, .groups = 3}));
  expect_layer("conv.no_bias", layout,
               Conv1d(context_, 3, 4, 5, {.stride = 2, .padding = 1}, false));
}

TEST_F(Layers, Conv1dReluMaxPoolFused) {
  Conv1d conv(context_, 12, 16, 7);
  expect_layer("conv.relu_maxpool", Layout::sequence, conv,
               [&](const Tensor& x) { return conv.relu_maxpool(x, 2); });
}

TEST_F(Layers, Conv1dReluMaxPoolInSteps) {
  Conv1d conv(context_, 12, 16, 7);
  expect_layer("conv.relu_maxpool", Layout::sequence, conv, [&](const Tensor& x) {
    return max_pool1d(relu(conv(x)), {2, 2, 0});
  });
}

TEST_F(Layers, Linear) {
  expect_layer("linear", Layout::same, Linear(context_, 13, 6));
  expect_layer("linear.no_bias", Layout::same, Linear(context_, 4, 3, false));
  expect_layer("linear.sequence", Layout::same, Linear(context_, 7, 5));
}

TEST_F(Layers, LayerNorm) {
  expect_layer("layer_norm", Layout::same, LayerNorm(context_, 10));
  expect_layer("layer_norm.eps", Layout::same, LayerNorm(context_, 7, 0.1));
}

TEST_F(Layers, BatchNorm1d) {
  const std::vector<std::string> buffers{"running_mean", "running_var", "num_batches_tracked"};
  for (const auto& [name, layout, channels] :
       {std::tuple{std::string("batch_norm.rows"), Layout::same, 5},
        std::tuple{std::string("batch_norm.sequence"), Layout::sequence, 6}}) {
    BatchNorm1d layer(context_, channels, 1e-3, 0.3);
    StateDict state;
    for (const std::string& buffer : buffers) {
      const ConstView view = golden_.file().view(name + ".before." + buffer);
      state.push_back({buffer, Tensor::borrow(backend_, view, backend_)});
    }
    load_tensors(layer.buffers(), state, name);
    layer.train();
    expect_layer(name + ".train", layout, layer);
    expect_close(layer.running_mean, name + ".after.running_mean", Layout::same);
    expect_close(layer.running_var, name + ".after.running_var", Layout::same);
    EXPECT_EQ(layer.buffers()[2].tensor.item(), 2.0);
    layer.eval();
    expect_layer(name + ".eval", layout, layer);
    expect_close(layer.running_mean, name + ".after.running_mean", Layout::same);
    EXPECT_EQ(layer.buffers()[2].tensor.item(), 2.0);
  }
}

TEST_F(Layers, Poolings) {
  const auto max_pool = [](const Pool1dSpec& spec) {
    return [spec](const Tensor& x) { return max_pool1d(x, spec); };
  };
  const auto avg_pool = [](const Pool1dSpec& spec) {
    return [spec](const Tensor& x) { return avg_pool1d(x, spec); };
  };
  const auto adaptive = [](std::int64_t length) {
    return [length](const Tensor& x) { return adaptive_avg_pool1d(x, length); };
  };
  expect_function("max_pool", Layout::sequence, max_pool({2, 2, 0}));
  expect_function("max_pool.overlap", Layout::sequence, max_pool({3, 2, 1}));
  expect_function("avg_pool", Layout::sequence, avg_pool({2, 2, 0}));
  expect_function("avg_pool.overlap", Layout::sequence, avg_pool({5, 3, 2}));
  expect_function("adaptive.one", Layout::sequence, adaptive(1));
  expect_function("adaptive.down", Layout::sequence, adaptive(5));
  expect_function("adaptive.up", Layout::sequence, adaptive(7));
}

TEST_F(Layers, Activations) {
  expect_function("relu", Layout::same, relu);
  expect_function("leaky_relu", Layout::same, [](const Tensor& x) { return leaky_relu(x); });
  expect_function("leaky_relu.steep", Layout::same,
                  [](const Tensor& x) { return leaky_relu(x, 0.2); });
  expect_function("sigmoid", Layout::same, sigmoid);
  expect_function("tanh", Layout::same, static_cast<Tensor (*)(const Tensor&)>(tanh));
  expect_function("gelu", Layout::same, gelu);
  expect_function("gelu.tanh", Layout::same,
                  [](const Tensor& x) { return activate(x, {ActivationKind::gelu_tanh}); });
  expect_function("softmax", Layout::same, softmax);
}

TEST_F(Layers, BceWithLogits) {
  const Tensor targets = golden_.tensor("bce.targets");
  for (const bool weighted : {false, true}) {
    const Tensor weight = weighted ? golden_.tensor("bce.pos_weight") : Tensor();
    for (const auto& [suffix, reduction] : {std::pair{std::string("none"), Reduction::none},
                                            std::pair{std::string("mean"), Reduction::mean},
                                            std::pair{std::string("sum"), Reduction::sum}}) {
      const std::string name = "bce." + suffix + (weighted ? ".weighted" : "");
      Tensor logits = golden_.tensor("bce.logits");
      logits.set_requires_grad(true);
      const Tensor loss = bce_with_logits(logits, targets, weight, {reduction});
      expect_close(loss, name + ".y", Layout::same);
      loss.backward(golden_.tensor(name + ".dy"));
      expect_close(logits.grad(), name + ".dx", Layout::same);
    }
  }
}

class Recurrent : public Layers {
 protected:
  Recurrent() : Layers("recurrent.safetensors") {}

  // The whole sequence, and the last step alone.
  void expect_lstm(const std::string& name, std::int64_t inputs, std::int64_t units,
                   LstmOptions options) {
    expect_layer(name, Layout::same, Lstm(context_, inputs, units, options));
    options.last_step = true;
    expect_layer(name + ".last", Layout::same, Lstm(context_, inputs, units, options));
  }
};

TEST_F(Recurrent, Lstm) {
  expect_lstm("lstm", 5, 4, {});
  expect_lstm("lstm.bidirectional", 3, 5, {.bidirectional = true});
  expect_lstm("lstm.layers", 12, 16, {.layers = 2});
  expect_lstm("lstm.both", 4, 7, {.layers = 2, .bidirectional = true});
}

}  // namespace
}  // namespace cardiograd
