// Operations with weights, pooling, normalisation and the loss.
#include <algorithm>
#include <memory>
#include <utility>

#include "nn/flop_meter.h"
#include "nn/ops.h"
#include "nn/shared_batch.h"
#include "nn/tape.h"

namespace cardiograd {

namespace {

ConstView optional_view(const Tensor& tensor) {
  return tensor.defined() ? ConstView(tensor.view()) : ConstView{};
}

Tensor like(const Tensor& x, const Dims& dims) {
  return Tensor::empty(x.backend(), dims, x.dtype());
}

Tensor statistic_like(const Tensor& x, const Dims& dims) {
  return Tensor::empty(x.backend(), dims, statistics_dtype(x.dtype()));
}

// A weight gradient is computed when either parameter wants one; what nobody wants goes to a
// scratch.
struct WeightTargets {
  Tensor weight, bias;
  bool any = false;
  WeightTargets(Gradients& gradients, const Tensor& weight_like, const Tensor& bias_like) {
    any = gradients.wanted(1) || gradients.wanted(2);
    if (!any) return;
    weight = gradients.wanted(1) ? gradients.target(1) : like(weight_like, weight_like.dims());
    if (gradients.wanted(2)) {
      bias = gradients.target(2);
    } else if (bias_like.defined()) {
      bias = like(bias_like, bias_like.dims());
    }
  }
  View bias_view() const { return bias.defined() ? bias.view() : View{}; }
};

// Multiply-adds of one output of a convolution.
std::int64_t taps(const Tensor& weight) { return weight.size(0) * weight.size(1); }

struct LinearOp {
  static constexpr std::string_view name = "linear";
  Tensor x, weight, bias;
  void backward(const Tensor& dy, Gradients& gradients) {
    Backend& backend = *dy.backend();
    if (const WeightTargets d(gradients, weight, bias); d.any) {
      FlopMeter::count_multiply_adds(dy.numel(), x.size(-1));
      backend.linear_backward_weight(x.view(), dy.view(), d.weight.view(), d.bias_view());
    }
    if (gradients.wanted(0)) {
      FlopMeter::count_multiply_adds(dy.numel(), x.size(-1));
      backend.linear_backward_data(dy.view(), weight.view(), gradients.target(0).view());
    }
  }
};

struct Conv1dOp {
  static constexpr std::string_view name = "conv1d";
  Conv1dSpec spec;
  Tensor x, weight, bias;
  void backward(const Tensor& dy, Gradients& gradients) {
    Backend& backend = *dy.backend();
    if (const WeightTargets d(gradients, weight, bias); d.any) {
      FlopMeter::count_multiply_adds(dy.numel(), taps(weight));
      backend.conv1d_backward_weight(spec, x.view(), dy.view(), d.weight.view(), d.bias_view());
    }
    if (gradients.wanted(0)) {
      FlopMeter::count_multiply_adds(dy.numel(), taps(weight));
      backend.conv1d_backward_data(spec, dy.view(), weight.view(), gradients.target(0).view());
    }
  }
};

struct ConvReluMaxPoolOp {
  static constexpr std::string_view name = "conv1d_relu_maxpool";
  Conv1dSpec spec;
  std::int64_t pool = 2;
  Tensor x, weight, bias, winner;
  void backward(const Tensor& dy, Gradients& gradients) {
    const WeightTargets d(gradients, weight, bias);
    FlopMeter::count_multiply_adds((gradients.wanted(0) ? 2 : 1) * dy.numel() * pool, taps(weight));
    const Tensor dweight = d.any ? d.weight : like(weight, weight.dims());
    dy.backend()->conv1d_relu_maxpool_backward(spec, pool, x.view(), weight.view(), winner.view(),
                                               dy.view(), gradients.target_if_wanted(0),
                                               dweight.view(), d.bias_view());
  }
};

struct MaxPool1dOp {
  static constexpr std::string_view name = "max_pool1d";
  Pool1dSpec spec;
  Tensor index;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->max_pool1d_backward(spec, index.view(), dy.view(), gradients.target(0).view());
  }
};

struct AvgPool1dOp {
  static constexpr std::string_view name = "avg_pool1d";
  Pool1dSpec spec;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->avg_pool1d_backward(spec, dy.view(), gradients.target(0).view());
  }
};

struct AdaptiveAvgPool1dOp {
  static constexpr std::string_view name = "adaptive_avg_pool1d";
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->adaptive_avg_pool1d_backward(dy.view(), gradients.target(0).view());
  }
};

// gamma's and beta's gradients come with dx in one kernel; what nobody wants goes to a scratch.
struct NormTargets {
  Tensor dx, dgamma, dbeta;
  NormTargets(Gradients& gradients, const Tensor& x, const Tensor& gamma)
      : dx(gradients.wanted(0) ? gradients.target(0) : like(x, x.dims())),
        dgamma(gradients.wanted(1) ? gradients.target(1) : like(gamma, gamma.dims())),
        dbeta(gradients.wanted(2) ? gradients.target(2) : like(gamma, gamma.dims())) {}
};

// The residual's gradient. Without ReLU it is dy itself, given once dx is there: x may be the
// residual, too.
View residual_target(const BatchNormSpec& spec, Gradients& gradients) {
  return spec.relu ? gradients.target_if_wanted(3) : View{};
}
void give_residual(const BatchNormSpec& spec, const Tensor& dy, Gradients& gradients) {
  if (!spec.relu) gradients.give(3, dy);
}

struct BatchNormTrainingOp {
  static constexpr std::string_view name = "batch_norm";
  BatchNormSpec spec;
  Tensor x, gamma, mean, inv_std, y;  // y: where ReLU needs it
  void backward(const Tensor& dy, Gradients& gradients) {
    const NormTargets d(gradients, x, gamma);
    dy.backend()->batch_norm_training_backward(
        spec, x.view(), gamma.view(), mean.view(), inv_std.view(), optional_view(y), dy.view(),
        d.dx.view(), residual_target(spec, gradients), d.dgamma.view(), d.dbeta.view());
    give_residual(spec, dy, gradients);
  }
};

// Of a batch that several processes share. Its parts are the operations that take the moments as
// given: with x^ = (x - mean) inv_std and means over the whole batch,
//   dx = gamma inv_std (dy + t),  t = -mean(dy x^) x^ - mean(dy)  (Ioffe & Szegedy 2015),
// where t is x normalised with other gains, and gamma inv_std t its way back.
struct SharedBatchNormOp {
  static constexpr std::string_view name = "batch_norm (shared batch)";
  BatchNormSpec spec;
  std::shared_ptr<const SharedBatch> batch;
  double rows = 0.0;
  Tensor x, gamma, mean, variance, y;
  void backward(const Tensor& dy, Gradients& gradients) {
    const NormTargets d(gradients, x, gamma);
    Backend& backend = *dy.backend();
    backend.batch_norm_inference_backward(
        spec, x.view(), gamma.view(), mean.view(), variance.view(), optional_view(y), dy.view(),
        d.dx.view(), residual_target(spec, gradients), d.dgamma.view(), d.dbeta.view());
    const std::int64_t channels = gamma.numel();
    const Tensor means = like(gamma, {2, channels});
    const Tensor gain = means.window(0, {channels}), offset = means.window(channels, {channels});
    backend.scale(d.dgamma.view(), -1.0 / rows, gain.view());
    backend.scale(d.dbeta.view(), -1.0 / rows, offset.view());
    batch->sum(means.view());
    if (gradients.wanted(0)) {
      const BatchNormSpec plain{spec.eps, spec.momentum, false};
      const Tensor t = like(x, x.dims()), dx = like(x, x.dims()),
                   unused = like(gamma, {2, channels});
      backend.batch_norm_inference_forward(plain, x.view(), gain.view(), offset.view(), {},
                                           mean.view(), variance.view(), t.view());
      backend.batch_norm_inference_backward(
          plain, x.view(), gamma.view(), mean.view(), variance.view(), {}, t.view(), dx.view(), {},
          unused.window(0, {channels}).view(), unused.window(channels, {channels}).view());
      backend.accumulate(dx.view(), d.dx.view());
    }
    give_residual(spec, dy, gradients);
  }
};

struct BatchNormInferenceOp {
  static constexpr std::string_view name = "batch_norm (inference)";
  BatchNormSpec spec;
  Tensor x, gamma, running_mean, running_var, y;
  void backward(const Tensor& dy, Gradients& gradients) {
    const NormTargets d(gradients, x, gamma);
    dy.backend()->batch_norm_inference_backward(
        spec, x.view(), gamma.view(), running_mean.view(), running_var.view(), optional_view(y),
        dy.view(), d.dx.view(), residual_target(spec, gradients), d.dgamma.view(), d.dbeta.view());
    give_residual(spec, dy, gradients);
  }
};

struct LayerNormOp {
  static constexpr std::string_view name = "layer_norm";
  Tensor x, gamma, mean, inv_std;
  void backward(const Tensor& dy, Gradients& gradients) {
    const NormTargets d(gradients, x, gamma);
    dy.backend()->layer_norm_backward(x.view(), gamma.view(), mean.view(), inv_std.view(),
                                      dy.view(), d.dx.view(), d.dgamma.view(), d.dbeta.view());
  }
};

struct BceWithLogitsOp {
  static constexpr std::string_view name = "bce_with_logits";
  Tensor dlogits;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->multiply(dlogits.view(), dy.view(), gradients.target(0).view());
  }
};

void check_sequence(const Tensor& x, const char* operation) {
  CG_CHECK(x.dims().rank() == 3,
           std::string(operation) + " needs [batch, time, channels], got " + x.dims().to_string());
}

Dims conv_dims(const Tensor& x, const Tensor& weight, const Conv1dSpec& spec) {
  check_sequence(x, "conv1d");
  CG_CHECK(weight.dims().rank() == 3 && spec.groups > 0 && spec.stride > 0 && spec.dilation > 0 &&
               spec.padding >= 0 && weight.size(1) * spec.groups == x.size(2) &&
               weight.size(2) % spec.groups == 0,
           "conv1d: a weight of shape " + weight.dims().to_string() + " with " +
               std::to_string(spec.groups) + " group(s) does not fit an input of shape " +
               x.dims().to_string());
  return {x.size(0), spec.output_length(x.size(1), weight.size(0)), weight.size(2)};
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  CG_CHECK(x.dims().rank() >= 1 && weight.dims().rank() == 2 && x.size(-1) == weight.size(1),
           "linear: a weight of shape " + weight.dims().to_string() +
               " does not fit an input of shape " + x.dims().to_string());
  Dims dims = x.dims();
  dims[-1] = weight.size(0);
  Tensor y = like(x, dims);
  FlopMeter::count_multiply_adds(y.numel(), x.size(-1));
  x.backend()->linear_forward(x.view(), weight.view(), optional_view(bias), y.view());
  record(y, {x, weight, bias}, LinearOp{x, weight, bias});
  return y;
}

Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv1dSpec& spec) {
  Tensor y = like(x, conv_dims(x, weight, spec));
  FlopMeter::count_multiply_adds(y.numel(), taps(weight));
  x.backend()->conv1d_forward(spec, x.view(), weight.view(), optional_view(bias), y.view());
  record(y, {x, weight, bias}, Conv1dOp{spec, x, weight, bias});
  return y;
}

Tensor conv1d_relu_maxpool(const Tensor& x, const Tensor& weight, const Tensor& bias,
                           const Conv1dSpec& spec, std::int64_t pool) {
  Dims dims = conv_dims(x, weight, spec);
  dims[1] = Pool1dSpec{pool, pool, 0}.output_length(dims[1]);
  Tensor y = like(x, dims);
  Tensor winner = Tensor::empty(x.backend(), dims, DType::u8);
  FlopMeter::count_multiply_adds(y.numel() * pool, taps(weight));
  x.backend()->conv1d_relu_maxpool_forward(spec, pool, x.view(), weight.view(), optional_view(bias),
                                           y.view(), winner.view());
  record(y, {x, weight, bias}, ConvReluMaxPoolOp{spec, pool, x, weight, bias, winner});
  return y;
}

Tensor max_pool1d(const Tensor& x, const Pool1dSpec& spec) {
  check_sequence(x, "max_pool1d");
  const Dims dims{x.size(0), spec.output_length(x.size(1)), x.size(2)};
  Tensor y = like(x, dims);
  Tensor index = Tensor::empty(x.backend(), dims, DType::i32);
  x.backend()->max_pool1d_forward(spec, x.view(), y.view(), index.view());
  record(y, {x}, MaxPool1dOp{spec, index});
  return y;
}

Tensor avg_pool1d(const Tensor& x, const Pool1dSpec& spec) {
  check_sequence(x, "avg_pool1d");
  Tensor y = like(x, {x.size(0), spec.output_length(x.size(1)), x.size(2)});
  x.backend()->avg_pool1d_forward(spec, x.view(), y.view());
  record(y, {x}, AvgPool1dOp{spec});
  return y;
}

Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output_length) {
  check_sequence(x, "adaptive_avg_pool1d");
  Tensor y = like(x, {x.size(0), output_length, x.size(2)});
  x.backend()->adaptive_avg_pool1d_forward(x.view(), y.view());
  record(y, {x}, AdaptiveAvgPool1dOp{});
  return y;
}

namespace {

// alpha * sum of the rows of all processes, [C].
Tensor shared_row_sum(const Tensor& x, double alpha, const SharedBatch& batch) {
  Dims kept = x.dims();
  for (int axis = 0; axis + 1 < kept.rank(); ++axis) kept[axis] = 1;
  const Tensor total = like(x, kept);
  x.backend()->sum(x.view(), alpha, total.view());
  batch.sum(total.view());
  return total.window(0, {x.size(-1)});
}

void update_running(const Tensor& running, const Tensor& of_batch, double momentum, double factor) {
  Backend& backend = *running.backend();
  const Tensor scaled = like(of_batch, of_batch.dims());
  backend.scale(of_batch.view(), momentum * factor, scaled.view());
  backend.scale(running.view(), 1.0 - momentum, running.view());
  backend.accumulate(scaled.view(), running.view());
}

// In training: as batch_norm, with the moments of the whole batch, in two passes.
Tensor shared_batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                         const Tensor& running_mean, const Tensor& running_var,
                         const BatchNormOptions& options,
                         std::shared_ptr<const SharedBatch> batch) {
  CG_CHECK(x.dtype() == statistics_dtype(x.dtype()),
           "batch_norm of a batch that several processes share needs f32, not " +
               std::string(name_of(x.dtype())));
  const BatchNormSpec spec{options.eps, options.momentum, options.relu};
  Backend& backend = *x.backend();
  auto rows = static_cast<double>(batch->records);
  for (int axis = 1; axis + 1 < x.dims().rank(); ++axis) rows *= static_cast<double>(x.size(axis));
  const Tensor mean = shared_row_sum(x, 1.0 / rows, *batch);
  const Tensor shift = like(mean, mean.dims());
  backend.scale(mean.view(), -1.0, shift.view());
  const Tensor squares = like(x, x.dims());
  backend.add(x.view(), shift.view(), squares.view());
  backend.multiply(squares.view(), squares.view(), squares.view());
  const Tensor variance = shared_row_sum(squares, 1.0 / rows, *batch);
  update_running(running_mean, mean, spec.momentum, 1.0);
  update_running(running_var, variance, spec.momentum, rows / std::max(rows - 1.0, 1.0));
  Tensor y = like(x, x.dims());
  backend.batch_norm_inference_forward(spec, x.view(), gamma.view(), beta.view(),
                                       optional_view(options.residual), mean.view(),
                                       variance.view(), y.view());
  record(y, {x, gamma, beta, options.residual},
         SharedBatchNormOp{spec, std::move(batch), rows, x, gamma, mean, variance,
                           spec.relu ? y.detach() : Tensor()});
  return y;
}

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  const Tensor& running_mean, const Tensor& running_var,
                  const BatchNormOptions& options) {
  if (auto shared = SharedBatchScope::current(); shared && options.training) {
    return shared_batch_norm(x, gamma, beta, running_mean, running_var, options, std::move(shared));
  }
  const BatchNormSpec spec{options.eps, options.momentum, options.relu};
  const Tensor& residual = options.residual;
  Tensor y = like(x, x.dims());
  Backend& backend = *x.backend();
  const Tensor saved = spec.relu ? y.detach() : Tensor();
  if (!options.training) {
    backend.batch_norm_inference_forward(spec, x.view(), gamma.view(), beta.view(),
                                         optional_view(residual), running_mean.view(),
                                         running_var.view(), y.view());
    record(y, {x, gamma, beta, residual},
           BatchNormInferenceOp{spec, x, gamma, running_mean, running_var, saved});
    return y;
  }
  Tensor mean = statistic_like(x, gamma.dims());
  Tensor inv_std = statistic_like(x, gamma.dims());
  backend.batch_norm_training_forward(spec, x.view(), gamma.view(), beta.view(),
                                      optional_view(residual), running_mean.view(),
                                      running_var.view(), y.view(), mean.view(), inv_std.view());
  record(y, {x, gamma, beta, residual}, BatchNormTrainingOp{spec, x, gamma, mean, inv_std, saved});
  return y;
}

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double eps) {
  Dims rows = x.dims();
  rows[-1] = 1;
  Tensor y = like(x, x.dims());
  Tensor mean = statistic_like(x, rows);
  Tensor inv_std = statistic_like(x, rows);
  x.backend()->layer_norm_forward(x.view(), gamma.view(), beta.view(), eps, y.view(), mean.view(),
                                  inv_std.view());
  record(y, {x, gamma, beta}, LayerNormOp{x, gamma, mean, inv_std});
  return y;
}

Tensor bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                       const BceSpec& spec) {
  CG_CHECK(logits.dims() == targets.dims(), "bce_with_logits: logits have shape " +
                                                logits.dims().to_string() + ", targets " +
                                                targets.dims().to_string());
  Tensor loss = like(logits, spec.reduction == Reduction::none ? logits.dims() : Dims{});
  const bool recorded = needs_record({logits});
  Tensor dlogits = recorded ? like(logits, logits.dims()) : Tensor();
  logits.backend()->bce_with_logits(spec, logits.view(), targets.view(), optional_view(pos_weight),
                                    loss.view(), recorded ? dlogits.view() : View{});
  record(loss, {logits}, BceWithLogitsOp{dlogits});
  return loss;
}

}  // namespace cardiograd
