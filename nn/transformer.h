// The encoder and decoder of Vaswani et al. 2017, with PyTorch's parameters and defaults: residuals
// are normalised behind the addition, the feed-forward part is Linear, ReLU, Linear. Sequences are
// [N, L, width].
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "nn/attention.h"

namespace cardiograd {

struct TransformerOptions {
  std::int64_t width = 512;
  std::int64_t heads = 8;
  std::int64_t feedforward = 2048;
  double dropout = 0.1;
};

// nn.TransformerEncoderLayer(..., batch_first=True).
class TransformerEncoderLayer : public Module {
 public:
  TransformerEncoderLayer(const BuildContext& context, const TransformerOptions& options);
  Tensor operator()(const Tensor& x, const MultiheadAttention::Masks& masks) const;
  Tensor operator()(const Tensor& x) const { return (*this)(x, {}); }

 private:
  MultiheadAttention self_attn_;
  Linear linear1_, linear2_;
  LayerNorm norm1_, norm2_;
  Dropout dropout_;
};

// nn.TransformerDecoderLayer(..., batch_first=True): self-attention, then attention to a memory.
class TransformerDecoderLayer : public Module {
 public:
  TransformerDecoderLayer(const BuildContext& context, const TransformerOptions& options);
  Tensor operator()(const Tensor& x, const Tensor& memory, const MultiheadAttention::Masks& own,
                    const MultiheadAttention::Masks& of_memory) const;
  Tensor operator()(const Tensor& x, const Tensor& memory) const {
    return (*this)(x, memory, {}, {});
  }

 private:
  MultiheadAttention self_attn_, multihead_attn_;
  Linear linear1_, linear2_;
  LayerNorm norm1_, norm2_, norm3_;
  Dropout dropout_;
};

// Layers in a row, "layers.0", "layers.1", ... Each draws initial values of its own, where
// PyTorch's nn.TransformerEncoder and nn.TransformerDecoder copy those of one.
class TransformerEncoder : public Module {
 public:
  TransformerEncoder(const BuildContext& context, std::int64_t layers,
                     const TransformerOptions& options);
  Tensor operator()(const Tensor& x) const;

 private:
  std::vector<std::unique_ptr<TransformerEncoderLayer>> layers_;
};

class TransformerDecoder : public Module {
 public:
  TransformerDecoder(const BuildContext& context, std::int64_t layers,
                     const TransformerOptions& options);
  Tensor operator()(const Tensor& x, const Tensor& memory) const;

 private:
  std::vector<std::unique_ptr<TransformerDecoderLayer>> layers_;
};

// [length, width]: sin(t / 10000^(2i / width)) in column 2i, the cosine in column 2i + 1 (section
// 3.5 of the paper).
Tensor sinusoidal_positions(const BuildContext& context, std::int64_t length, std::int64_t width);

}  // namespace cardiograd
