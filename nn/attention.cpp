#include "nn/attention.h"

namespace cardiograd {

namespace {

std::int64_t checked_heads(std::int64_t width, std::int64_t heads, double dropout) {
  if (heads < 1 || width % heads != 0) {
    throw InputError("attention: " + std::to_string(heads) + " heads do not divide a width of " +
                     std::to_string(width));
  }
  if (!(dropout >= 0.0 && dropout <= 1.0)) {
    throw InputError("a dropout probability must lie in [0, 1], got " + std::to_string(dropout));
  }
  return heads;
}

}  // namespace

// PyTorch draws the output's projection first, its bias included, and then sets all biases to zero.
MultiheadAttention::MultiheadAttention(const BuildContext& context, std::int64_t width,
                                       std::int64_t heads_, double dropout_)
    : heads(checked_heads(width, heads_, dropout_)),
      dropout(dropout_),
      out_proj_(context, width, width) {
  in_proj_weight = register_parameter(
      "in_proj_weight",
      context.tensor({3 * width, width}, xavier_weight(*context.random, 3 * width, width)));
  in_proj_bias = register_parameter("in_proj_bias",
                                    Tensor::full(context.backend, {3 * width}, context.dtype, 0.0));
  register_module("out_proj", out_proj_);
  context.backend->fill(out_proj_.bias.view(), 0.0);
}

Tensor MultiheadAttention::project(const Tensor& x, int which) const {
  const std::int64_t width = in_proj_weight.size(1);
  return linear(x, slice(in_proj_weight, 0, which * width, width),
                slice(in_proj_bias, 0, which * width, width));
}

Tensor MultiheadAttention::operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                                      const Masks& masks) const {
  const LayerScope scope(*this);
  const AttentionOptions options{heads, masks.causal, training() ? dropout : 0.0, masks.padding,
                                 masks.mask};
  return out_proj_(attention(project(query, 0), project(key, 1), project(value, 2), options));
}

}  // namespace cardiograd
