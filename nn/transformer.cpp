#include "nn/transformer.h"

#include <cmath>

namespace cardiograd {

TransformerEncoderLayer::TransformerEncoderLayer(const BuildContext& context,
                                                 const TransformerOptions& options)
    : self_attn_(context, options.width, options.heads, options.dropout),
      linear1_(context, options.width, options.feedforward),
      linear2_(context, options.feedforward, options.width),
      norm1_(context, options.width),
      norm2_(context, options.width),
      dropout_(options.dropout) {
  register_module("self_attn", self_attn_);
  register_module("linear1", linear1_);
  register_module("linear2", linear2_);
  register_module("norm1", norm1_);
  register_module("norm2", norm2_);
  register_module("dropout", dropout_);
}

Tensor TransformerEncoderLayer::operator()(const Tensor& x,
                                           const MultiheadAttention::Masks& masks) const {
  const LayerScope scope(*this);
  const Tensor attended = norm1_(add(x, dropout_(self_attn_(x, x, x, masks))));
  const Tensor fed = linear2_(dropout_(relu(linear1_(attended))));
  return norm2_(add(attended, dropout_(fed)));
}

TransformerDecoderLayer::TransformerDecoderLayer(const BuildContext& context,
                                                 const TransformerOptions& options)
    : self_attn_(context, options.width, options.heads, options.dropout),
      multihead_attn_(context, options.width, options.heads, options.dropout),
      linear1_(context, options.width, options.feedforward),
      linear2_(context, options.feedforward, options.width),
      norm1_(context, options.width),
      norm2_(context, options.width),
      norm3_(context, options.width),
      dropout_(options.dropout) {
  register_module("self_attn", self_attn_);
  register_module("multihead_attn", multihead_attn_);
  register_module("linear1", linear1_);
  register_module("linear2", linear2_);
  register_module("norm1", norm1_);
  register_module("norm2", norm2_);
  register_module("norm3", norm3_);
  register_module("dropout", dropout_);
}

Tensor TransformerDecoderLayer::operator()(const Tensor& x, const Tensor& memory,
                                           const MultiheadAttention::Masks& own,
                                           const MultiheadAttention::Masks& of_memory) const {
  const LayerScope scope(*this);
  const Tensor attended = norm1_(add(x, dropout_(self_attn_(x, x, x, own))));
  const Tensor informed =
      norm2_(add(attended, dropout_(multihead_attn_(attended, memory, memory, of_memory))));
  const Tensor fed = linear2_(dropout_(relu(linear1_(informed))));
  return norm3_(add(informed, dropout_(fed)));
}

TransformerEncoder::TransformerEncoder(const BuildContext& context, std::int64_t layers,
                                       const TransformerOptions& options) {
  for (std::int64_t i = 0; i < layers; ++i) {
    layers_.push_back(std::make_unique<TransformerEncoderLayer>(context, options));
    register_module("layers." + std::to_string(i), *layers_.back());
  }
}

Tensor TransformerEncoder::operator()(const Tensor& x) const {
  const LayerScope scope(*this);
  Tensor y = x;
  for (const auto& layer : layers_) y = (*layer)(y);
  return y;
}

TransformerDecoder::TransformerDecoder(const BuildContext& context, std::int64_t layers,
                                       const TransformerOptions& options) {
  for (std::int64_t i = 0; i < layers; ++i) {
    layers_.push_back(std::make_unique<TransformerDecoderLayer>(context, options));
    register_module("layers." + std::to_string(i), *layers_.back());
  }
}

Tensor TransformerDecoder::operator()(const Tensor& x, const Tensor& memory) const {
  const LayerScope scope(*this);
  Tensor y = x;
  for (const auto& layer : layers_) y = (*layer)(y, memory);
  return y;
}

Tensor sinusoidal_positions(const BuildContext& context, std::int64_t length, std::int64_t width) {
  std::vector<float> values;
  for (std::int64_t t = 0; t < length; ++t) {
    for (std::int64_t c = 0; c < width; ++c) {
      const double exponent = static_cast<double>(c - c % 2) / static_cast<double>(width);
      const double angle = static_cast<double>(t) / std::pow(10000.0, exponent);
      values.push_back(static_cast<float>(c % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
  }
  return context.tensor({length, width}, values);
}

}  // namespace cardiograd
