// The differentiable operations. Shapes, layout and sources are those of kernels/backend.h; all
// tensors of one call live on one backend. A shape that does not fit throws ShapeError.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/tensor.h"

namespace cardiograd {

// -- Elementwise, with NumPy broadcasting.
Tensor add(const Tensor& a, const Tensor& b);
Tensor multiply(const Tensor& a, const Tensor& b);
Tensor scale(const Tensor& x, double alpha);
// Conversion between floating dtypes is differentiable; to and from integers it is not.
Tensor cast(const Tensor& x, DType dtype);

// -- Shape. reshape shares memory; one size may be -1 and is then worked out.
Tensor reshape(const Tensor& x, const std::vector<std::int64_t>& sizes);
// [N, ...] -> [N, product of the rest].
Tensor flatten(const Tensor& x);
Tensor permute(const Tensor& x, const std::vector<int>& axes);
// Elements start .. start + length - 1 of an axis.
Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t length);
Tensor concatenate(const std::vector<Tensor>& parts, int axis);

// -- Reductions over the given axes (all when empty); the axes stay with size 1 when keepdim.
Tensor sum(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false);
Tensor mean(const Tensor& x, const std::vector<int>& axes = {}, bool keepdim = false);
Tensor max(const Tensor& x, int axis, bool keepdim = false);

// -- Activations.
Tensor activate(const Tensor& x, const Activation& activation);
Tensor relu(const Tensor& x);
Tensor leaky_relu(const Tensor& x, double slope = 0.01);
Tensor sigmoid(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor gelu(const Tensor& x);
Tensor softmax(const Tensor& x);  // over the last axis
// Draws by the innermost RandomScope. channel: whole channels of [N, L, C].
Tensor dropout(const Tensor& x, double p, bool channel = false);

// -- Layers. bias may be undefined.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv1dSpec& spec = {});
// max_pool1d(relu(conv1d(...))) with stride = kernel = pool, fused.
Tensor conv1d_relu_maxpool(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const Conv1dSpec& spec, std::int64_t pool);
// One direction of one layer, from a zero state: [N, L, I] -> [N, L, H], or [N, H] for last_step.
// weight_ih [4H, I], weight_hh [4H, H], both biases [4H].
Tensor lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh,
            const Tensor& bias_ih, const Tensor& bias_hh, const LstmSpec& spec = {});
Tensor max_pool1d(const Tensor& x, const Pool1dSpec& spec);
Tensor avg_pool1d(const Tensor& x, const Pool1dSpec& spec);
Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output_length);

// Each step `factor` times over.
Tensor upsample_nearest(const Tensor& x, std::int64_t factor);

// -- Attention and tokens.
struct AttentionOptions {
  std::int64_t heads = 1;
  bool causal = false;
  double dropout = 0.0;  // of the probabilities; draws by the innermost RandomScope
  Tensor padding{};      // u8 [N, Lk], 1 where a key is to be ignored; may be undefined
  Tensor mask{};  // [Lq, Lk], added to the scaled scores; may be undefined, takes no gradient
};
// q [N, Lq, D], k and v [N, Lk, D] -> [N, Lq, D]. A query that sees no key gets zeros.
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options);
// indices i32 [...], weight [V, D] -> [..., D].
Tensor embedding(const Tensor& indices, const Tensor& weight);
// i32, without a gradient.
Tensor quantize(const Tensor& x, const QuantizeSpec& spec);

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;
  bool training = true;
  bool relu = false;  // behind it, in the same pass
  Tensor residual{};  // of x's shape, added before ReLU; may be undefined
};
// relu(batch_norm(x) + residual). running_mean and running_var, statistics_dtype of x's, are
// updated in training, read otherwise. In a SharedBatchScope (nn/shared_batch.h) training
// normalises by the moments of all processes' rows.
Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const Tensor& running_mean, const Tensor& running_var,
                  const BatchNormOptions& options);
Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps = 1e-5);

// -- Loss. targets have the logits' shape and no gradient; pos_weight [C] may be undefined. The
// spec smooths the targets and makes focal and asymmetric losses of it.
Tensor bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight = {},
                       const BceSpec& spec = {});

}  // namespace cardiograd
