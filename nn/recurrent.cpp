#include "nn/recurrent.h"

#include <cmath>

namespace cardiograd {

Lstm::Lstm(const BuildContext& context, std::int64_t inputs, std::int64_t units,
           const LstmOptions& options)
    : last_step_(options.last_step), dropout_(options.dropout) {
  if (inputs < 1 || units < 1 || options.layers < 1) {
    throw InputError("an LSTM needs at least one input, one unit and one layer, got " +
                     std::to_string(inputs) + ", " + std::to_string(units) + " and " +
                     std::to_string(options.layers));
  }
  register_module("dropout", dropout_);
  for (std::int64_t layer = 0; layer < options.layers; ++layer) {
    const std::string suffix = "_l" + std::to_string(layer);
    std::vector<Direction>& directions = layers_.emplace_back();
    directions.push_back(make_direction(context, inputs, units, suffix));
    if (options.bidirectional) {
      directions.push_back(make_direction(context, inputs, units, suffix + "_reverse"));
    }
    inputs = static_cast<std::int64_t>(directions.size()) * units;
  }
}

Lstm::Direction Lstm::make_direction(const BuildContext& context, std::int64_t inputs,
                                     std::int64_t units, const std::string& suffix) {
  // PyTorch draws all four from U(-1/sqrt(H), 1/sqrt(H)), in this order.
  const auto bound = static_cast<float>(1.0 / std::sqrt(static_cast<double>(units)));
  const auto parameter = [&](const std::string& name, const Dims& dims) {
    return register_parameter(
        name + suffix, context.tensor(dims, context.random->uniform(dims.numel(), -bound, bound)));
  };
  Direction direction;
  direction.weight_ih = parameter("weight_ih", {4 * units, inputs});
  direction.weight_hh = parameter("weight_hh", {4 * units, units});
  direction.bias_ih = parameter("bias_ih", {4 * units});
  direction.bias_hh = parameter("bias_hh", {4 * units});
  return direction;
}

Tensor Lstm::operator()(const Tensor& x) const {
  const LayerScope scope(*this);
  Tensor y = x;
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const bool last = layer + 1 == layers_.size();
    std::vector<Tensor> outputs;
    for (const Direction& each : layers_[layer]) {
      const LstmSpec spec{!outputs.empty(), last && last_step_};
      outputs.push_back(lstm(y, each.weight_ih, each.weight_hh, each.bias_ih, each.bias_hh, spec));
    }
    y = outputs.size() == 1 ? outputs.front() : concatenate(outputs, -1);
    if (!last) y = dropout_(y);
  }
  return y;
}

}  // namespace cardiograd
