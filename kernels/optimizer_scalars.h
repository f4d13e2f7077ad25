// The numbers that one step of an optimizer needs, from its spec and its schedule: computed in
// double where the step runs (constexpr: in kernels too), then rounded once.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/backend.h"

namespace cardiograd {

// Trivial, for a GPU's shared memory. "keep" and "take" are the two weights of a running average.
struct OptimizerScalars {
  float factor;  // of the gradients: clipping
  float lr;      // adam, adamw: the step size, lr / (1 - beta1^step)
  float l2;      // weight decay as part of the gradient
  float shrink;  // decoupled: parameters are multiplied by it first
  float momentum;
  float velocity_take;             // 1 - dampening
  float mean_take;                 // 1 - beta1; centered rmsprop: 1 - alpha
  float square_keep, square_take;  // beta2 or alpha
  float correction;                // sqrt(1 - beta2^step)
  float eps;
  float average_keep, average_take;  // of the parameters' average
  bool first;                        // step 1
};

// base^exponent by squaring; exponent >= 0.
constexpr double whole_power(double base, std::int64_t exponent) {
  double result = 1.0;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1) result *= base;
    base *= base;
  }
  return result;
}

// schedule: learning rate, number of the step, decay of the average, momentum or beta1.
constexpr OptimizerScalars optimizer_scalars(const OptimizerSpec& spec, const double* schedule,
                                             float factor) {
  const bool adam = spec.kind == OptimizerKind::adam || spec.kind == OptimizerKind::adamw;
  const bool decoupled = spec.kind == OptimizerKind::adamw;
  const double lr = schedule[0], momentum = schedule[3];
  const auto step = static_cast<std::int64_t>(schedule[1]);
  const double square_keep = adam ? spec.beta2 : spec.alpha;
  OptimizerScalars s{};
  s.factor = factor;
  s.lr = static_cast<float>(adam ? lr / (1.0 - whole_power(momentum, step)) : lr);
  s.l2 = decoupled ? 0.0F : static_cast<float>(spec.weight_decay);
  s.shrink = decoupled ? static_cast<float>(1.0 - lr * spec.weight_decay) : 1.0F;
  s.momentum = static_cast<float>(momentum);
  s.velocity_take = static_cast<float>(1.0 - spec.dampening);
  s.mean_take = static_cast<float>(1.0 - (adam ? momentum : spec.alpha));
  s.square_keep = static_cast<float>(square_keep);
  s.square_take = static_cast<float>(1.0 - square_keep);
  s.correction = adam ? static_cast<float>(std::sqrt(1.0 - whole_power(spec.beta2, step))) : 1.0F;
  s.eps = static_cast<float>(spec.eps);
  s.average_keep = static_cast<float>(schedule[2]);
  s.average_take = static_cast<float>(1.0 - schedule[2]);
  s.first = step == 1;
  return s;
}

// The same for parameters without weight decay.
constexpr OptimizerScalars without_decay(OptimizerScalars s) {
  s.l2 = 0.0F;
  s.shrink = 1.0F;
  return s;
}

}  // namespace cardiograd
