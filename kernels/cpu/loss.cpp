// Binary cross-entropy on logits.
#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector_math.h"

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
template <bool weighted, bool store_losses, bool store_gradients>
inline __attribute__((always_inline)) double bce_loop(const Run& run, float gradient_scale) {
  const float* __restrict x = run.logits;
  const float* __restrict t = run.targets;
  const float* __restrict w = run.pos_weight;
  float* __restrict losses = run.losses;
  float* __restrict gradients = run.gradients;
  double total = 0.0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = 0; i < run.count; ++i) {
    const Element element = bce_element(x[i], t[i], weighted ? w[i] : 1.0F);
    total += static_cast<double>(element.loss);
    if constexpr (store_losses) losses[i] = element.loss;
    if constexpr (store_gradients) gradients[i] = gradient_scale * element.gradient;
  }
  return total;
}

template <bool weighted>
inline __attribute__((always_inline)) double bce_outputs(const Run& run, float gradient_scale) {
  if (run.losses != nullptr) {
    return run.gradients != nullptr ? bce_loop<weighted, true, true>(run, gradient_scale)
                                    : bce_loop<weighted, true, false>(run, gradient_scale);
  }
  return run.gradients != nullptr ? bce_loop<weighted, false, true>(run, gradient_scale)
                                  : bce_loop<weighted, false, false>(run, gradient_scale);
}

CARDIOGRAD_CLONES
double bce_run(const Run& run, float gradient_scale) {
  return run.pos_weight != nullptr ? bce_outputs<true>(run, gradient_scale)
                                   : bce_outputs<false>(run, gradient_scale);
}

// The whole operation's operands, from which a block takes its runs.
struct Operands {
  Run whole;
  std::int64_t classes = 1;
  float gradient_scale = 1.0F;

  double block(std::int64_t begin, std::int64_t end) const {
    double total = 0.0;
    // With weights, a run ends where a row does.
    for (std::int64_t at = begin; at < end;) {
      std::int64_t count = end - at;
      if (whole.pos_weight != nullptr) count = std::min(count, classes - at % classes);
      total += bce_run({whole.logits + at, whole.targets + at,
                        whole.pos_weight != nullptr ? whole.pos_weight + at % classes : nullptr,
                        whole.losses != nullptr ? whole.losses + at : nullptr,
                        whole.gradients != nullptr ? whole.gradients + at : nullptr, count},
                       gradient_scale);
      at += count;
    }
    return total;
  }
};

}  // namespace

void CpuBackend::bce_with_logits(ConstView logits, ConstView targets, ConstView pos_weight,
                                 Reduction reduction, View loss, View dlogits) {
  require_f32("bce_with_logits", {logits, targets, pos_weight, loss, dlogits});
  require_same_shape("bce_with_logits", logits.dims, targets.dims);
  if (dlogits.present()) require_same_shape("bce_with_logits", logits.dims, dlogits.dims);
  Operands operands;
  if (pos_weight.present()) {
    CG_CHECK(logits.dims.rank() >= 1, "bce_with_logits: pos_weight needs a class axis");
    operands.classes = logits.dims[-1];
    require_vector("bce_with_logits", pos_weight.dims, operands.classes);
  }
  const bool elementwise = reduction == Reduction::none;
  if (elementwise) {
    require_same_shape("bce_with_logits", logits.dims, loss.dims);
  } else {
    CG_CHECK(loss.numel() == 1,
             "bce_with_logits: a reduced loss is one element, got " + loss.dims.to_string());
  }
  const std::int64_t count = logits.numel();
  const double scale = reduction == Reduction::mean
                           ? 1.0 / static_cast<double>(std::max<std::int64_t>(count, 1))
                           : 1.0;
  operands.gradient_scale = static_cast<float>(scale);
  operands.whole = {floats(logits),     floats(targets),
                    floats(pos_weight), elementwise ? floats(loss) : nullptr,
                    floats(dlogits),    count};
  const double total = ordered_sum(
      count, [&](std::int64_t begin, std::int64_t end) { return operands.block(begin, end); });
  if (!elementwise) floats(loss)[0] = static_cast<float>(total * scale);
}

}  // namespace cardiograd
