// Attention, embedding, quantisation and nearest upsampling.
#include "nn/flop_meter.h"
#include "nn/ops.h"
#include "nn/random.h"
#include "nn/tape.h"

namespace cardiograd {

namespace {

ConstView optional_view(const Tensor& tensor) {
  return tensor.defined() ? ConstView(tensor.view()) : ConstView{};
}

Tensor like(const Tensor& x, const Dims& dims) {
  return Tensor::empty(x.backend(), dims, x.dtype());
}

// Each of `products` matrix products over all heads: one multiply-add for each query, key and
// column.
void count_products(int products, const Tensor& q, const Tensor& k) {
  FlopMeter::count_multiply_adds(products * q.numel(), k.size(1));
}

struct AttentionOp {
  static constexpr std::string_view name = "attention";
  AttentionSpec spec;
  Tensor padding, mask, records, q, k, v, y, lse;

  AttentionMasks masks() const {
    return {optional_view(padding), optional_view(mask), optional_view(records)};
  }
  // One kernel gives all three gradients; what nobody wants goes to a scratch.
  void backward(const Tensor& dy, Gradients& gradients) {
    const auto target = [&](int input, const Tensor& of) {
      return gradients.wanted(input) ? gradients.target(input) : like(of, of.dims());
    };
    const Tensor dq = target(0, q);
    const Tensor dk = target(1, k);
    const Tensor dv = target(2, v);
    count_products(5, q, k);
    dy.backend()->attention_backward(spec, masks(), q.view(), k.view(), v.view(), y.view(),
                                     lse.view(), dy.view(), dq.view(), dk.view(), dv.view());
  }
};

struct EmbeddingOp {
  static constexpr std::string_view name = "embedding";
  Tensor indices;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->embedding_backward(indices.view(), dy.view(), gradients.target(0).view());
  }
};

struct QuantizeOp {
  static constexpr std::string_view name = "quantize";
  static constexpr bool no_backward = true;
};

struct UpsampleNearestOp {
  static constexpr std::string_view name = "upsample_nearest";
  std::int64_t factor = 1;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->upsample_nearest_backward(factor, dy.view(), gradients.target(0).view());
  }
};

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options) {
  CG_CHECK(q.dims().rank() == 3 && k.dims().rank() == 3 && options.heads >= 1,
           "attention needs q [N, Lq, D] and k, v [N, Lk, D], got " + q.dims().to_string() +
               " and " + k.dims().to_string());
  AttentionOp op{{options.heads, options.causal, options.dropout, {}},
                 options.padding,
                 options.mask,
                 {},
                 q,
                 k,
                 v,
                 like(q, q.dims()),
                 Tensor::empty(q.backend(), {q.size(0), options.heads, q.size(1)},
                               statistics_dtype(q.dtype()))};
  if (options.dropout > 0.0) {
    op.spec.key = RandomScope::next_key();
    op.records = RandomScope::records();
  }
  count_products(2, q, k);
  q.backend()->attention_forward(op.spec, op.masks(), q.view(), k.view(), v.view(), op.y.view(),
                                 op.lse.view());
  // The tape holds y without its history, or the node would keep itself alive.
  Tensor y = op.y.detach();
  record(y, {q, k, v}, std::move(op));
  return y;
}

Tensor embedding(const Tensor& indices, const Tensor& weight) {
  CG_CHECK(weight.dims().rank() == 2,
           "embedding: a table is [V, D], got " + weight.dims().to_string());
  Dims dims = indices.dims();
  dims.push_back(weight.size(1));
  Tensor y = like(weight, dims);
  weight.backend()->embedding_forward(indices.view(), weight.view(), y.view());
  record(y, {weight}, EmbeddingOp{indices});
  return y;
}

Tensor quantize(const Tensor& x, const QuantizeSpec& spec) {
  Tensor y = Tensor::empty(x.backend(), x.dims(), DType::i32);
  x.backend()->quantize(spec, x.view(), y.view());
  record(y, {x}, QuantizeOp{});
  return y;
}

Tensor upsample_nearest(const Tensor& x, std::int64_t factor) {
  CG_CHECK(x.dims().rank() == 3 && factor >= 1,
           "upsample_nearest needs [batch, time, channels] and a factor of at least 1, got " +
               x.dims().to_string() + " and " + std::to_string(factor));
  Tensor y = like(x, {x.size(0), factor * x.size(1), x.size(2)});
  x.backend()->upsample_nearest_forward(factor, x.view(), y.view());
  record(y, {x}, UpsampleNearestOp{factor});
  return y;
}

}  // namespace cardiograd
