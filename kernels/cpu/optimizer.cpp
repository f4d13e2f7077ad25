// Gradient norm and the optimizers' steps: each reads and writes every buffer once. The order of
// operations is PyTorch's, so that trajectories agree to rounding.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/optimizer_checks.h"
#include "kernels/optimizer_scalars.h"

namespace cardiograd {
namespace {

template <class T>
inline __attribute__((always_inline)) double square_loop(const T* __restrict x,
                                                         std::int64_t count) {
  double total = 0.0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(static_cast<float>(x[i]));
    total += value * value;
  }
  return total;
}

CARDIOGRAD_CLONES
double square_sum(const float* x, std::int64_t count) { return square_loop(x, count); }
CARDIOGRAD_CLONES
double square_sum(const BFloat16* x, std::int64_t count) { return square_loop(x, count); }

// The buffers of one block, with a state that an optimizer does not have left null.
struct Buffers {
  const float* gradient = nullptr;
  float* parameter = nullptr;
  std::array<float*, 3> state{};
  std::int64_t count = 0;
};

// ---- The rules. Each gradient is first multiplied by the clipping factor, then weight decay is
// added to it.

// SGD with momentum (Sutskever et al. 2013, in PyTorch's form).
template <bool with_momentum, bool first, bool nesterov>
inline __attribute__((always_inline)) void sgd_loop(const OptimizerScalars& s, const Buffers& b) {
  const OptimizerScalars k = s;
  const float* __restrict gradient = b.gradient;
  float* __restrict parameter = b.parameter;
  float* __restrict velocity = b.state[0];
  for (std::int64_t i = 0; i < b.count; ++i) {
    const float g = gradient[i] * k.factor + k.l2 * parameter[i];
    float update = g;
    if constexpr (with_momentum) {
      // The first step copies the gradient, without dampening.
      const float v = first ? g : velocity[i] * k.momentum + k.velocity_take * g;
      velocity[i] = v;
      update = nesterov ? g + k.momentum * v : v;
    }
    parameter[i] -= k.lr * update;
  }
}

CARDIOGRAD_CLONES
void sgd_step(const OptimizerSpec& spec, const OptimizerScalars& s, const Buffers& b) {
  if (spec.momentum <= 0.0) return sgd_loop<false, false, false>(s, b);
  if (s.first) {
    return spec.nesterov ? sgd_loop<true, true, true>(s, b) : sgd_loop<true, true, false>(s, b);
  }
  return spec.nesterov ? sgd_loop<true, false, true>(s, b) : sgd_loop<true, false, false>(s, b);
}

// RMSprop (Tieleman & Hinton 2012; centered: Graves 2013).
template <bool centered, bool with_momentum>
inline __attribute__((always_inline)) void rmsprop_loop(const OptimizerScalars& s,
                                                        const Buffers& b) {
  const OptimizerScalars k = s;
  const float* __restrict gradient = b.gradient;
  float* __restrict parameter = b.parameter;
  float* __restrict square_avg = b.state[0];
  float* __restrict grad_avg = b.state[1];
  float* __restrict velocity = b.state[centered ? 2 : 1];
  for (std::int64_t i = 0; i < b.count; ++i) {
    const float g = gradient[i] * k.factor + k.l2 * parameter[i];
    const float square = square_avg[i] * k.square_keep + k.square_take * g * g;
    square_avg[i] = square;
    float variance = square;
    if constexpr (centered) {
      const float mean = grad_avg[i] + k.mean_take * (g - grad_avg[i]);
      grad_avg[i] = mean;
      variance = square - mean * mean;
    }
    const float denominator = std::sqrt(variance) + k.eps;
    if constexpr (with_momentum) {
      const float v = velocity[i] * k.momentum + g / denominator;
      velocity[i] = v;
      parameter[i] -= k.lr * v;
    } else {
      parameter[i] -= k.lr * g / denominator;
    }
  }
}

CARDIOGRAD_CLONES
void rmsprop_step(const OptimizerSpec& spec, const OptimizerScalars& s, const Buffers& b) {
  const bool with_momentum = spec.momentum > 0.0;
  if (spec.centered) {
    return with_momentum ? rmsprop_loop<true, true>(s, b) : rmsprop_loop<true, false>(s, b);
  }
  return with_momentum ? rmsprop_loop<false, true>(s, b) : rmsprop_loop<false, false>(s, b);
}

// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).
CARDIOGRAD_CLONES
void adam_step(const OptimizerScalars& s, const Buffers& b) {
  const OptimizerScalars k = s;
  const float* __restrict gradient = b.gradient;
  float* __restrict parameter = b.parameter;
  float* __restrict exp_avg = b.state[0];
  float* __restrict exp_avg_sq = b.state[1];
  for (std::int64_t i = 0; i < b.count; ++i) {
    const float p = parameter[i] * k.shrink;
    const float g = gradient[i] * k.factor + k.l2 * p;
    const float m = exp_avg[i] + k.mean_take * (g - exp_avg[i]);
    const float v = exp_avg_sq[i] * k.square_keep + k.square_take * g * g;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    parameter[i] = p - k.lr * m / (std::sqrt(v) / k.correction + k.eps);
  }
}

void run_rule(const OptimizerSpec& spec, const OptimizerScalars& s, const Buffers& block) {
  switch (spec.kind) {
    case OptimizerKind::sgd:
      return sgd_step(spec, s, block);
    case OptimizerKind::rmsprop:
      return rmsprop_step(spec, s, block);
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return adam_step(s, block);
  }
}

// ---- What surrounds a rule, on elements that are in the cache then.

CARDIOGRAD_CLONES
void widen(const BFloat16* __restrict x, std::int64_t count, float* __restrict y) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = static_cast<float>(x[i]);
}

CARDIOGRAD_CLONES
void round_to_bf16(const float* __restrict x, std::int64_t count, BFloat16* __restrict y) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = BFloat16(x[i]);
}

CARDIOGRAD_CLONES
void average_with(const OptimizerScalars& s, const float* __restrict parameter, std::int64_t count,
                  float* __restrict average) {
  const float keep = s.average_keep;
  const float take = s.average_take;
  for (std::int64_t i = 0; i < count; ++i) average[i] = keep * average[i] + take * parameter[i];
}

// Elements [begin, end), of which all or none are decayed, in pieces that stay in the first cache.
void step_block(const OptimizerSpec& spec, const OptimizerScalars& scalars,
                const OptimizerOperands& x, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t piece = 1024;
  std::array<float, piece> widened;
  const bool bf16 = x.gradients.dtype == DType::bf16;
  const bool whole = !bf16 && !x.average.present() && !x.rounded.present();
  for (std::int64_t at = begin; at < end;) {
    const std::int64_t count = whole ? end - at : std::min(piece, end - at);
    Buffers block{nullptr, floats(x.parameters) + at, {}, count};
    if (bf16) {
      widen(x.gradients.as<BFloat16>() + at, count, widened.data());
      block.gradient = widened.data();
    } else {
      block.gradient = floats(x.gradients) + at;
    }
    for (std::size_t i = 0; i < x.states.size(); ++i) block.state[i] = floats(x.states[i]) + at;
    run_rule(spec, scalars, block);
    if (x.average.present()) {
      average_with(scalars, block.parameter, count, floats(x.average) + at);
    }
    if (x.rounded.present()) {
      round_to_bf16(block.parameter, count, x.rounded.as<BFloat16>() + at);
    }
    at += count;
  }
}

void require_gradients(std::string_view operation, const ConstView& gradients) {
  if (gradients.dtype != DType::bf16) require_f32(operation, {gradients});
}

}  // namespace

void CpuBackend::gradient_norm(ConstView gradients, double max_norm, View norm, View factor) {
  require_gradients("gradient_norm", gradients);
  require_f32("gradient_norm", {norm, factor});
  check_gradient_norm(norm, factor);
  const auto squares = [&](const auto* from) {
    return ordered_sum(gradients.numel(), [=](std::int64_t begin, std::int64_t end) {
      return square_sum(from + begin, end - begin);
    });
  };
  const double length = std::sqrt(gradients.dtype == DType::bf16 ? squares(gradients.as<BFloat16>())
                                                                 : squares(floats(gradients)));
  const double ratio = max_norm > 0.0 ? max_norm / (length + 1e-6) : 1.0;
  floats(norm)[0] = static_cast<float>(length);
  // A NaN norm gives a NaN factor, as in PyTorch: it must not pass for a healthy step.
  floats(factor)[0] = ratio > 1.0 ? 1.0F : static_cast<float>(ratio);
}

void CpuBackend::optimizer_step(const OptimizerSpec& spec, const OptimizerOperands& x) {
  require_gradients("optimizer_step", x.gradients);
  require_f32("optimizer_step", {x.factor, x.guard, x.parameters, x.average});
  for (const View& state : x.states) require_f32("optimizer_step", {state});
  check_optimizer_step(spec, x);
  if (x.guard.present() && !std::isfinite(floats(x.guard)[0])) return;
  const float factor = x.factor.present() ? floats(x.factor)[0] : 1.0F;
  const OptimizerScalars decayed = optimizer_scalars(spec, x.schedule.as<double>(), factor);
  const OptimizerScalars plain = without_decay(decayed);
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t border = std::clamp(spec.decayed, begin, end);
    step_block(spec, decayed, x, begin, border);
    step_block(spec, plain, x, border, end);
  };
  parallel_for(x.parameters.numel(), parallel_grain / 2, run);
}

}  // namespace cardiograd
