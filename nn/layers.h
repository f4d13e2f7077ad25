// Layers with PyTorch's defaults, initial values and state_dict names. Shapes: nn/ops.h.
#pragma once

#include <cstdint>

#include "nn/layer_scope.h"
#include "nn/module.h"
#include "nn/ops.h"

namespace cardiograd {

class Linear : public Module {
 public:
  Linear(const BuildContext& context, std::int64_t inputs, std::int64_t outputs, bool bias = true);
  // Behind flatten() of [N, length, channels]: its state_dict is PyTorch's, whose columns are
  // ordered by channel first.
  static constexpr struct AfterFlatten {
  } after_flatten{};
  Linear(const BuildContext& context, AfterFlatten, std::int64_t length, std::int64_t channels,
         std::int64_t outputs, bool bias = true);
  Tensor operator()(const Tensor& x) const {
    const LayerScope scope(*this);
    return linear(x, weight, bias);
  }

  Tensor weight;  // [outputs, inputs]
  Tensor bias;    // [outputs], undefined without

 private:
  void build(const BuildContext& context, std::int64_t inputs, std::int64_t outputs, bool with_bias,
             const TorchLayout& layout);
};

class Conv1d : public Module {
 public:
  Conv1d(const BuildContext& context, std::int64_t inputs, std::int64_t outputs,
         std::int64_t kernel, const Conv1dSpec& spec = {}, bool bias = true);
  Tensor operator()(const Tensor& x) const {
    const LayerScope scope(*this);
    return conv1d(x, weight, bias, spec);
  }
  // max_pool(relu(conv(x))), fused.
  Tensor relu_maxpool(const Tensor& x, std::int64_t pool) const {
    const LayerScope scope(*this);
    return conv1d_relu_maxpool(x, weight, bias, spec, pool);
  }

  Conv1dSpec spec;
  Tensor weight;  // [kernel, inputs / groups, outputs]
  Tensor bias;    // [outputs], undefined without
};

// Over the channels of [N, C] or [N, L, C]. Its buffers have statistics_dtype of the model's dtype.
class BatchNorm1d : public Module {
 public:
  BatchNorm1d(const BuildContext& context, std::int64_t channels, double eps = 1e-5,
              double momentum = 0.1);
  Tensor operator()(const Tensor& x) const { return apply(x, false, {}); }
  // relu(bn(x)) and relu(bn(x) + residual), fused.
  Tensor relu(const Tensor& x, const Tensor& residual = {}) const {
    return apply(x, true, residual);
  }

  double eps;
  double momentum;
  Tensor weight, bias, running_mean, running_var;

 private:
  Tensor apply(const Tensor& x, bool relu, const Tensor& residual) const;

  Tensor one_;
  // Floating, where PyTorch has an integer of 64 bits (its load_state_dict converts): it is counted
  // on the device.
  Tensor num_batches_tracked_;
};

// Over the last axis.
class LayerNorm : public Module {
 public:
  LayerNorm(const BuildContext& context, std::int64_t channels, double eps = 1e-5);
  Tensor operator()(const Tensor& x) const {
    const LayerScope scope(*this);
    return layer_norm(x, weight, bias, eps);
  }

  double eps;
  Tensor weight, bias;
};

// Rows of a table, drawn from N(0, 1).
class Embedding : public Module {
 public:
  Embedding(const BuildContext& context, std::int64_t rows, std::int64_t width);
  // i32 [...] -> [..., width].
  Tensor operator()(const Tensor& indices) const {
    const LayerScope scope(*this);
    return embedding(indices, weight);
  }

  Tensor weight;  // [rows, width]
};

// nn.Upsample(scale_factor=factor), whose mode is "nearest". Throws InputError where factor < 1.
class Upsample : public Module {
 public:
  explicit Upsample(std::int64_t factor);
  Tensor operator()(const Tensor& x) const {
    const LayerScope scope(*this);
    return upsample_nearest(x, factor);
  }

  std::int64_t factor;
};

class Dropout : public Module {
 public:
  // channel: nn.Dropout1d. Throws InputError where p is not in [0, 1].
  explicit Dropout(double p, bool channel = false);
  Tensor operator()(const Tensor& x) const;

  double p;
  bool channel;
};

}  // namespace cardiograd
