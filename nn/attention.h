// Multi-head attention (Vaswani et al. 2017, section 3.2.2) with PyTorch's parameters.
#pragma once

#include <cstdint>

#include "nn/layers.h"

namespace cardiograd {

// nn.MultiheadAttention(width, heads, dropout, batch_first=True), without the weights that PyTorch
// returns beside the output. Its masks are AttentionOptions'; a query whose keys are all hidden
// attends to nothing, where PyTorch gives NaN.
class MultiheadAttention : public Module {
 public:
  // Throws InputError where heads do not divide width or dropout is not in [0, 1].
  MultiheadAttention(const BuildContext& context, std::int64_t width, std::int64_t heads,
                     double dropout = 0.0);

  struct Masks {
    Tensor padding{};     // u8 [N, Lk], 1 where a key is to be ignored (key_padding_mask)
    Tensor mask{};        // [Lq, Lk], added to the scores (attn_mask)
    bool causal = false;  // query i sees the keys 0 .. i alone
  };
  // query [N, Lq, width], key and value [N, Lk, width] -> [N, Lq, width].
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value,
                    const Masks& masks) const;
  Tensor operator()(const Tensor& query, const Tensor& key, const Tensor& value) const {
    return (*this)(query, key, value, Masks{});
  }

  std::int64_t heads;
  double dropout;
  Tensor in_proj_weight;  // [3 width, width]: of query, key and value
  Tensor in_proj_bias;    // [3 width]

 private:
  // Projection number 0, 1 or 2 of x.
  Tensor project(const Tensor& x, int which) const;

  Linear out_proj_;
};

}  // namespace cardiograd
