#include "nn/layers.h"

namespace cardiograd {

namespace {

// Draws in PyTorch's element order, so that the same seed gives the same weights, and stores them
// in ours.
Tensor draw_weight(const BuildContext& context, const Dims& stored, std::int64_t fan_in,
                   const TorchLayout& layout) {
  const std::vector<float> values = default_weight(*context.random, stored.numel(), fan_in);
  if (layout.is_identity()) return context.tensor(stored, values);
  Dims permuted;
  std::vector<int> inverse(layout.axes.size());
  for (std::size_t i = 0; i < layout.axes.size(); ++i) {
    permuted.push_back(layout.view[layout.axes[i]]);
    inverse[static_cast<std::size_t>(layout.axes[i])] = static_cast<int>(i);
  }
  const Tensor drawn = context.tensor(permuted, values);
  Tensor weight = Tensor::empty(context.backend, stored, context.dtype);
  View target = weight.view();
  target.dims = layout.view;
  context.backend->permute(drawn.view(), inverse, target);
  return weight;
}

}  // namespace

Linear::Linear(const BuildContext& context, std::int64_t inputs, std::int64_t outputs,
               bool with_bias) {
  build(context, inputs, outputs, with_bias, {});
}

Linear::Linear(const BuildContext& context, AfterFlatten, std::int64_t length,
               std::int64_t channels, std::int64_t outputs, bool with_bias) {
  build(context, length * channels, outputs, with_bias,
        TorchLayout::flattened(outputs, length, channels));
}

void Linear::build(const BuildContext& context, std::int64_t inputs, std::int64_t outputs,
                   bool with_bias, const TorchLayout& layout) {
  weight =
      register_parameter("weight", draw_weight(context, {outputs, inputs}, inputs, layout), layout);
  if (with_bias) {
    bias = register_parameter(
        "bias", context.tensor({outputs}, default_bias(*context.random, outputs, inputs)));
  }
}

Conv1d::Conv1d(const BuildContext& context, std::int64_t inputs, std::int64_t outputs,
               std::int64_t kernel, const Conv1dSpec& conv_spec, bool with_bias)
    : spec(conv_spec) {
  CG_CHECK(spec.groups > 0 && inputs % spec.groups == 0 && outputs % spec.groups == 0,
           "Conv1d: " + std::to_string(spec.groups) + " group(s) do not divide " +
               std::to_string(inputs) + " input and " + std::to_string(outputs) +
               " output channels");
  const Dims stored{kernel, inputs / spec.groups, outputs};
  const std::int64_t fan_in = kernel * (inputs / spec.groups);
  const TorchLayout layout = TorchLayout::conv1d(stored);
  weight = register_parameter("weight", draw_weight(context, stored, fan_in, layout), layout);
  if (with_bias) {
    bias = register_parameter(
        "bias", context.tensor({outputs}, default_bias(*context.random, outputs, fan_in)));
  }
}

BatchNorm1d::BatchNorm1d(const BuildContext& context, std::int64_t channels, double eps_,
                         double momentum_)
    : eps(eps_), momentum(momentum_) {
  const auto constant = [&](const Dims& dims, DType dtype, double value) {
    return Tensor::full(context.backend, dims, dtype, value);
  };
  const DType statistic = statistics_dtype(context.dtype);
  weight = register_parameter("weight", constant({channels}, context.dtype, 1.0));
  bias = register_parameter("bias", constant({channels}, context.dtype, 0.0));
  running_mean = register_buffer("running_mean", constant({channels}, statistic, 0.0));
  running_var = register_buffer("running_var", constant({channels}, statistic, 1.0));
  num_batches_tracked_ = register_buffer("num_batches_tracked", constant({}, statistic, 0.0));
  one_ = constant({}, statistic, 1.0);
}

Tensor BatchNorm1d::apply(const Tensor& x, bool relu, const Tensor& residual) const {
  const LayerScope scope(*this);
  if (training()) {
    x.backend()->accumulate(one_.view(), num_batches_tracked_.view());
  }
  return batch_norm(x, weight, bias, running_mean, running_var,
                    {eps, momentum, training(), relu, residual});
}

LayerNorm::LayerNorm(const BuildContext& context, std::int64_t channels, double eps_) : eps(eps_) {
  weight =
      register_parameter("weight", Tensor::full(context.backend, {channels}, context.dtype, 1.0));
  bias = register_parameter("bias", Tensor::full(context.backend, {channels}, context.dtype, 0.0));
}

Embedding::Embedding(const BuildContext& context, std::int64_t rows, std::int64_t width) {
  weight = register_parameter(
      "weight", context.tensor({rows, width}, context.random->normal(rows * width, 0.0F, 1.0F)));
}

Upsample::Upsample(std::int64_t factor_) : factor(factor_) {
  if (factor < 1) {
    throw InputError("an upsampling factor is at least 1, got " + std::to_string(factor));
  }
}

Dropout::Dropout(double p_, bool channel_) : p(p_), channel(channel_) {
  if (!(p >= 0.0 && p <= 1.0)) {
    throw InputError("a dropout probability must lie in [0, 1], got " + std::to_string(p));
  }
}

Tensor Dropout::operator()(const Tensor& x) const {
  const LayerScope scope(*this);
  return training() && p > 0.0 ? dropout(x, p, channel) : x;
}

}  // namespace cardiograd
