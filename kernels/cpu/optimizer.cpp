// Gradient norm and the optimizers' steps: each reads and writes every buffer once. The order of
// operations is PyTorch's, so that trajectories agree to rounding.
#include <array>
#include <cmath>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {
namespace {

CARDIOGRAD_CLONES
double square_sum(const float* __restrict x, std::int64_t count) {
  double total = 0.0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = static_cast<double>(x[i]);
    total += value * value;
  }
  return total;
}

// The buffers of one block. Which states there are is OptimizerSpec::state_names' business.
struct Buffers {
  const float* gradient = nullptr;
  float* parameter = nullptr;
  std::array<float*, 3> state{};
  std::int64_t count = 0;
};

// What every optimizer's gradient undergoes first: g = factor * gradient + l2 * parameter.
struct Common {
  float factor = 1.0F;
  float l2 = 0.0F;
  float lr = 0.0F;
};

// ---- SGD with momentum (Sutskever et al. 2013, in PyTorch's form).

struct SgdScalars {
  Common common;
  float momentum = 0.0F;
  float take = 1.0F;  // 1 - dampening
  bool first = false;
  bool with_momentum = false;
  bool nesterov = false;
};

template <bool with_momentum, bool first, bool nesterov>
inline __attribute__((always_inline)) void sgd_loop(const SgdScalars& s, const Buffers& b) {
  const Common k = s.common;
  const float* __restrict gradient = b.gradient;
  float* __restrict parameter = b.parameter;
  float* __restrict velocity = b.state[0];
  for (std::int64_t i = 0; i < b.count; ++i) {
    const float g = gradient[i] * k.factor + k.l2 * parameter[i];
    float update = g;
    if constexpr (with_momentum) {
      // The first step copies the gradient, without dampening.
      const float v = first ? g : velocity[i] * s.momentum + s.take * g;
      velocity[i] = v;
      update = nesterov ? g + s.momentum * v : v;
    }
    parameter[i] -= k.lr * update;
  }
}

CARDIOGRAD_CLONES
void sgd_step(const SgdScalars& s, const Buffers& b) {
  if (!s.with_momentum) return sgd_loop<false, false, false>(s, b);
  if (s.first) {
    return s.nesterov ? sgd_loop<true, true, true>(s, b) : sgd_loop<true, true, false>(s, b);
  }
  return s.nesterov ? sgd_loop<true, false, true>(s, b) : sgd_loop<true, false, false>(s, b);
}

// ---- RMSprop (Tieleman & Hinton 2012; centered: Graves 2013).

struct RmspropScalars {
  Common common;
  float alpha = 0.0F;
  float take = 0.0F;  // 1 - alpha
  float eps = 0.0F;
  float momentum = 0.0F;
  bool centered = false;
  bool with_momentum = false;
};

template <bool centered, bool with_momentum>
inline __attribute__((always_inline)) void rmsprop_loop(const RmspropScalars& s, const Buffers& b) {
  const Common k = s.common;
  const float* __restrict gradient = b.gradient;
  float* __restrict parameter = b.parameter;
  float* __restrict square_avg = b.state[0];
  float* __restrict grad_avg = b.state[1];
  float* __restrict velocity = b.state[centered ? 2 : 1];
  for (std::int64_t i = 0; i < b.count; ++i) {
    const float g = gradient[i] * k.factor + k.l2 * parameter[i];
    const float square = square_avg[i] * s.alpha + s.take * g * g;
    square_avg[i] = square;
    float variance = square;
    if constexpr (centered) {
      const float mean = grad_avg[i] + s.take * (g - grad_avg[i]);
      grad_avg[i] = mean;
      variance = square - mean * mean;
    }
    const float denominator = std::sqrt(variance) + s.eps;
    if constexpr (with_momentum) {
      const float v = velocity[i] * s.momentum + g / denominator;
      velocity[i] = v;
      parameter[i] -= k.lr * v;
    } else {
      parameter[i] -= k.lr * g / denominator;
    }
  }
}

CARDIOGRAD_CLONES
void rmsprop_step(const RmspropScalars& s, const Buffers& b) {
  if (s.centered) {
    return s.with_momentum ? rmsprop_loop<true, true>(s, b) : rmsprop_loop<true, false>(s, b);
  }
  return s.with_momentum ? rmsprop_loop<false, true>(s, b) : rmsprop_loop<false, false>(s, b);
}

// ---- Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).

struct AdamScalars {
  Common common;       // lr: the step size, lr / (1 - beta1^step)
  float decay = 1.0F;  // decoupled: parameters are multiplied by it first
  float take1 = 0.0F;  // 1 - beta1
  float beta2 = 0.0F;
  float take2 = 0.0F;       // 1 - beta2
  float correction = 1.0F;  // sqrt(1 - beta2^step)
  float eps = 0.0F;
};

CARDIOGRAD_CLONES
void adam_step(const AdamScalars& s, const Buffers& b) {
  const Common k = s.common;
  const float* __restrict gradient = b.gradient;
  float* __restrict parameter = b.parameter;
  float* __restrict exp_avg = b.state[0];
  float* __restrict exp_avg_sq = b.state[1];
  for (std::int64_t i = 0; i < b.count; ++i) {
    const float p = parameter[i] * s.decay;
    const float g = gradient[i] * k.factor + k.l2 * p;
    const float m = exp_avg[i] + s.take1 * (g - exp_avg[i]);
    const float v = exp_avg_sq[i] * s.beta2 + s.take2 * g * g;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    parameter[i] = p - k.lr * m / (std::sqrt(v) / s.correction + s.eps);
  }
}

// ---- Scalars in double, blocks in parallel.

// run(buffers of one block) over the whole.
template <class Run>
void for_each_block(const Buffers& whole, const Run& run) {
  parallel_for(whole.count, parallel_grain / 2, [&](std::int64_t begin, std::int64_t end) {
    Buffers block{whole.gradient + begin, whole.parameter + begin, {}, end - begin};
    for (std::size_t i = 0; i < whole.state.size(); ++i) {
      if (whole.state[i] != nullptr) block.state[i] = whole.state[i] + begin;
    }
    run(block);
  });
}

void run_sgd(const OptimizerSpec& spec, std::int64_t step, float factor, const Buffers& whole) {
  SgdScalars s;
  s.common = {factor, static_cast<float>(spec.weight_decay), static_cast<float>(spec.lr)};
  s.momentum = static_cast<float>(spec.momentum);
  s.take = static_cast<float>(1.0 - spec.dampening);
  s.first = step == 1;
  s.with_momentum = spec.momentum > 0.0;
  s.nesterov = spec.nesterov;
  for_each_block(whole, [&](const Buffers& block) { sgd_step(s, block); });
}

void run_rmsprop(const OptimizerSpec& spec, float factor, const Buffers& whole) {
  RmspropScalars s;
  s.common = {factor, static_cast<float>(spec.weight_decay), static_cast<float>(spec.lr)};
  s.alpha = static_cast<float>(spec.alpha);
  s.take = static_cast<float>(1.0 - spec.alpha);
  s.eps = static_cast<float>(spec.eps);
  s.momentum = static_cast<float>(spec.momentum);
  s.centered = spec.centered;
  s.with_momentum = spec.momentum > 0.0;
  for_each_block(whole, [&](const Buffers& block) { rmsprop_step(s, block); });
}

void run_adam(const OptimizerSpec& spec, std::int64_t step, float factor, const Buffers& whole) {
  const bool decoupled = spec.kind == OptimizerKind::adamw;
  const auto steps = static_cast<double>(step);
  AdamScalars s;
  s.common = {factor, decoupled ? 0.0F : static_cast<float>(spec.weight_decay),
              static_cast<float>(spec.lr / (1.0 - std::pow(spec.beta1, steps)))};
  s.decay = decoupled ? static_cast<float>(1.0 - spec.lr * spec.weight_decay) : 1.0F;
  s.take1 = static_cast<float>(1.0 - spec.beta1);
  s.beta2 = static_cast<float>(spec.beta2);
  s.take2 = static_cast<float>(1.0 - spec.beta2);
  s.correction = static_cast<float>(std::sqrt(1.0 - std::pow(spec.beta2, steps)));
  s.eps = static_cast<float>(spec.eps);
  for_each_block(whole, [&](const Buffers& block) { adam_step(s, block); });
}

}  // namespace

void CpuBackend::gradient_norm(ConstView gradients, double max_norm, View norm, View factor) {
  require_f32("gradient_norm", {gradients, norm, factor});
  CG_CHECK(norm.numel() == 1 && factor.numel() == 1,
           "gradient_norm: norm and factor are one element each, got shapes " +
               norm.dims.to_string() + " and " + factor.dims.to_string());
  const float* from = floats(gradients);
  const double length =
      std::sqrt(ordered_sum(gradients.numel(), [=](std::int64_t begin, std::int64_t end) {
        return square_sum(from + begin, end - begin);
      }));
  const double ratio = max_norm > 0.0 ? max_norm / (length + 1e-6) : 1.0;
  floats(norm)[0] = static_cast<float>(length);
  // A NaN norm gives a NaN factor, as in PyTorch: it must not pass for a healthy step.
  floats(factor)[0] = ratio > 1.0 ? 1.0F : static_cast<float>(ratio);
}

void CpuBackend::optimizer_step(const OptimizerSpec& spec, std::int64_t step, ConstView gradients,
                                ConstView factor, View parameters,
                                const std::vector<View>& states) {
  require_f32("optimizer_step", {gradients, factor, parameters});
  require_same_shape("optimizer_step", gradients.dims, parameters.dims);
  CG_CHECK(step >= 1, "optimizer_step: steps count from 1, got " + std::to_string(step));
  CG_CHECK(!factor.present() || factor.numel() == 1,
           "optimizer_step: factor is one element, got shape " + factor.dims.to_string());
  const std::size_t needed = spec.state_names().size();
  CG_CHECK(states.size() == needed, "optimizer_step: this optimizer keeps " +
                                        std::to_string(needed) + " states, got " +
                                        std::to_string(states.size()));
  Buffers whole{floats(gradients), floats(parameters), {}, parameters.numel()};
  for (std::size_t i = 0; i < states.size(); ++i) {
    require_f32("optimizer_step", {states[i]});
    require_same_shape("optimizer_step", states[i].dims, parameters.dims);
    whole.state[i] = floats(states[i]);
  }
  const float multiplier = factor.present() ? floats(factor)[0] : 1.0F;
  switch (spec.kind) {
    case OptimizerKind::sgd:
      return run_sgd(spec, step, multiplier, whole);
    case OptimizerKind::rmsprop:
      return run_rmsprop(spec, multiplier, whole);
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return run_adam(spec, step, multiplier, whole);
  }
}

}  // namespace cardiograd
