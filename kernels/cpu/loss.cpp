// Binary cross-entropy on logits, and its focal forms.
#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/loss_checks.h"

namespace cardiograd {
namespace {

// With w = 1 + (pos_weight - 1) t: loss = (1 - t) x + w softplus(-x), where
// softplus(-x) = log(1 + e^-|x|) + max(-x, 0) never overflows.
struct Element {
  float loss;
  float gradient;
};

inline __attribute__((always_inline)) Element bce_element(float x, float target, float pos_weight) {
  const float e = vector_math::exp(-vector_math::magnitude(x));
  const float softplus = vector_math::log1p_unit(e) + (x < 0.0F ? -x : 0.0F);
  const float weight = 1.0F + (pos_weight - 1.0F) * target;
  const float falling = (x < 0.0F ? 1.0F : e) / (1.0F + e);  // sigmoid(-x)
  return {(1.0F - target) * x + weight * softplus, (1.0F - target) - weight * falling};
}

// The spec in float, with the targets' smoothing as a line.
struct Coefficients {
  float keep = 1.0F;  // a target t counts as keep t + rise
  float rise = 0.0F;
  float gamma_positive = 0.0F;
  float gamma_negative = 0.0F;
  float margin = 0.0F;
  float positive = 1.0F;
  float negative = 1.0F;
  float gradient_scale = 1.0F;
};

// The terms of BceSpec with their slopes by the logit:
//   -(1 - p)^g log(p)      has  (1 - p)^g (g p log(p) - (1 - p)),
//   -q^g log(1 - q)        has  (q^g / (1 - q) - g q^(g - 1) log(1 - q)) p (1 - p) where q > 0.
inline __attribute__((always_inline)) Element focal_element(const Coefficients& c, float x,
                                                            float target, float pos_weight) {
  const float e = vector_math::exp(-vector_math::magnitude(x));
  const float common = vector_math::log1p_unit(e);
  const float minus_log_p = common + (x < 0.0F ? -x : 0.0F);
  const float minus_log_rest = common + (x < 0.0F ? 0.0F : x);  // of 1 - p
  const float p = (x < 0.0F ? e : 1.0F) / (1.0F + e);
  const float rest = (x < 0.0F ? 1.0F : e) / (1.0F + e);

  const float up = vector_math::exp(-c.gamma_positive * minus_log_rest);
  const float up_slope = -up * (c.gamma_positive * p * minus_log_p + rest);
  const float up_share = c.positive * pos_weight * target;

  // Without a margin q is p, whose logarithms are there already.
  const bool moved = c.margin > 0.0F;
  const float q = moved ? p - c.margin : p;
  const float kept = q > 1e-30F ? q : 1e-30F;
  const float log_q = moved ? vector_math::log_unit(kept) : -minus_log_p;
  const float minus_log_rest_q = moved ? -vector_math::log_unit(1.0F - kept) : minus_log_rest;
  const float down = vector_math::exp(c.gamma_negative * log_q);
  const float over_rest = moved ? p * rest / (1.0F - kept) : p;
  const float over_q = moved ? p * rest / kept : rest;
  const float down_slope = down * (over_rest + c.gamma_negative * over_q * minus_log_rest_q);
  const float down_share = moved && q <= 0.0F ? 0.0F : c.negative * (1.0F - target);

  return {up_share * up * minus_log_p + down_share * down * minus_log_rest_q,
          up_share * up_slope + down_share * down_slope};
}

// The elements of one run and where their results go; losses and gradients may be null.
// pos_weight is read at the same positions, or at its first element alone where `weighted` is off.
struct Run {
  const float* logits;
  const float* targets;
  const float* pos_weight;
  float* losses;
  float* gradients;
  std::int64_t count;
};

// Returns the sum of the losses.
template <bool focuses, bool weighted, bool store_losses, bool store_gradients>
inline __attribute__((always_inline)) double bce_loop(const Run& run, const Coefficients& c) {
  const float* __restrict x = run.logits;
  const float* __restrict t = run.targets;
  const float* __restrict w = run.pos_weight;
  float* __restrict losses = run.losses;
  float* __restrict gradients = run.gradients;
  double total = 0.0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < run.count; ++i) {
    const float target = c.keep * t[i] + c.rise;
    const float weight = weighted ? w[i] : 1.0F;
    const Element element =
        focuses ? focal_element(c, x[i], target, weight) : bce_element(x[i], target, weight);
    total += static_cast<double>(element.loss);
    if constexpr (store_losses) losses[i] = element.loss;
    if constexpr (store_gradients) gradients[i] = c.gradient_scale * element.gradient;
  }
  return total;
}

template <bool focuses, bool weighted>
inline __attribute__((always_inline)) double bce_outputs(const Run& run, const Coefficients& c) {
  if (run.losses != nullptr) {
    return run.gradients != nullptr ? bce_loop<focuses, weighted, true, true>(run, c)
                                    : bce_loop<focuses, weighted, true, false>(run, c);
  }
  return run.gradients != nullptr ? bce_loop<focuses, weighted, false, true>(run, c)
                                  : bce_loop<focuses, weighted, false, false>(run, c);
}

CARDIOGRAD_CLONES
double bce_run(const Run& run, const Coefficients& c) {
  return run.pos_weight != nullptr ? bce_outputs<false, true>(run, c)
                                   : bce_outputs<false, false>(run, c);
}

CARDIOGRAD_CLONES
double focal_run(const Run& run, const Coefficients& c) {
  return run.pos_weight != nullptr ? bce_outputs<true, true>(run, c)
                                   : bce_outputs<true, false>(run, c);
}

// The whole operation's operands, from which a block takes its runs.
struct Operands {
  Run whole;
  std::int64_t classes = 1;
  Coefficients coefficients;
  bool focuses = false;

  double block(std::int64_t begin, std::int64_t end) const {
    double total = 0.0;
    // With weights, a run ends where a row does.
    for (std::int64_t at = begin; at < end;) {
      std::int64_t count = end - at;
      if (whole.pos_weight != nullptr) count = std::min(count, classes - at % classes);
      const Run run{whole.logits + at,
                    whole.targets + at,
                    whole.pos_weight != nullptr ? whole.pos_weight + at % classes : nullptr,
                    whole.losses != nullptr ? whole.losses + at : nullptr,
                    whole.gradients != nullptr ? whole.gradients + at : nullptr,
                    count};
      total += focuses ? focal_run(run, coefficients) : bce_run(run, coefficients);
      at += count;
    }
    return total;
  }
};

}  // namespace

void CpuBackend::bce_with_logits(const BceSpec& spec, ConstView logits, ConstView targets,
                                 ConstView pos_weight, View loss, View dlogits) {
  require_f32("bce_with_logits", {logits, targets, pos_weight, loss, dlogits});
  check_bce(spec, logits, targets, pos_weight, loss, dlogits);
  const bool elementwise = spec.reduction == Reduction::none;
  const std::int64_t count = logits.numel();
  const double scale = bce_scale(spec, count);
  Operands operands;
  if (pos_weight.present()) operands.classes = logits.dims[-1];
  operands.focuses = spec.focuses();
  operands.coefficients = {
      static_cast<float>(1.0 - spec.smoothing), static_cast<float>(spec.smoothing / 2.0),
      static_cast<float>(spec.gamma_positive),  static_cast<float>(spec.gamma_negative),
      static_cast<float>(spec.margin),          static_cast<float>(spec.positive),
      static_cast<float>(spec.negative),        static_cast<float>(scale)};
  operands.whole = {floats(logits),     floats(targets),
                    floats(pos_weight), elementwise ? floats(loss) : nullptr,
                    floats(dlogits),    count};
  const double total = ordered_sum(
      count, [&](std::int64_t begin, std::int64_t end) { return operands.block(begin, end); });
  if (!elementwise) floats(loss)[0] = static_cast<float>(total * scale);
}

}  // namespace cardiograd
