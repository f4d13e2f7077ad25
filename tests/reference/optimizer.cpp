// Gradient norm and the optimizers, each step as PyTorch's documentation of the optimizer gives it.
#include <cmath>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

// One parameter's step: returns its new value; states[i] is element i's place in state i.
double sgd_step(const OptimizerSpec& spec, std::int64_t step, double parameter, double gradient,
                const std::vector<double*>& states) {
  if (spec.momentum > 0.0) {
    double& buffer = *states[0];
    buffer = step == 1 ? gradient : spec.momentum * buffer + (1.0 - spec.dampening) * gradient;
    gradient = spec.nesterov ? gradient + spec.momentum * buffer : buffer;
  }
  return parameter - spec.lr * gradient;
}

double rmsprop_step(const OptimizerSpec& spec, double parameter, double gradient,
                    const std::vector<double*>& states) {
  double& square = *states[0];
  square = spec.alpha * square + (1.0 - spec.alpha) * gradient * gradient;
  double variance = square;
  if (spec.centered) {
    double& average = *states[1];
    average = spec.alpha * average + (1.0 - spec.alpha) * gradient;
    variance -= average * average;
  }
  const double update = gradient / (std::sqrt(variance) + spec.eps);
  if (spec.momentum > 0.0) {
    double& buffer = *states.back();
    buffer = spec.momentum * buffer + update;
    return parameter - spec.lr * buffer;
  }
  return parameter - spec.lr * update;
}

double adam_step(const OptimizerSpec& spec, std::int64_t step, double parameter, double gradient,
                 const std::vector<double*>& states) {
  double& first = *states[0];
  double& second = *states[1];
  first = spec.beta1 * first + (1.0 - spec.beta1) * gradient;
  second = spec.beta2 * second + (1.0 - spec.beta2) * gradient * gradient;
  const double count = static_cast<double>(step);
  const double unbiased_first = first / (1.0 - std::pow(spec.beta1, count));
  const double unbiased_second = second / (1.0 - std::pow(spec.beta2, count));
  return parameter - spec.lr * unbiased_first / (std::sqrt(unbiased_second) + spec.eps);
}

}  // namespace

void ReferenceBackend::gradient_norm(ConstView gradients, double max_norm, View norm, View factor) {
  CG_CHECK(norm.numel() == 1 && factor.numel() == 1, "norm and factor have one element each");
  double squares = 0.0;
  for (std::int64_t i = 0; i < gradients.numel(); ++i) {
    squares += gradients.as<double>()[i] * gradients.as<double>()[i];
  }
  const double length = std::sqrt(squares);
  const double ratio = max_norm > 0.0 ? max_norm / (length + 1e-6) : 1.0;
  norm.as<double>()[0] = length;
  factor.as<double>()[0] = ratio > 1.0 ? 1.0 : ratio;  // a NaN stays one
}

void ReferenceBackend::optimizer_step(const OptimizerSpec& spec, std::int64_t step,
                                      ConstView gradients, ConstView factor, View parameters,
                                      const std::vector<View>& states) {
  reference::check_same_shape(gradients.dims, parameters.dims);
  CG_CHECK(step >= 1, "steps count from 1, got " + std::to_string(step));
  CG_CHECK(!factor.present() || factor.numel() == 1, "the gradients' factor is one element");
  CG_CHECK(states.size() == spec.state_names().size(),
           "this optimizer keeps " + std::to_string(spec.state_names().size()) + " states, got " +
               std::to_string(states.size()));
  for (const View& state : states) reference::check_same_shape(state.dims, parameters.dims);
  for (std::int64_t i = 0; i < parameters.numel(); ++i) {
    std::vector<double*> places;
    for (const View& state : states) places.push_back(state.as<double>() + i);
    double& parameter = parameters.as<double>()[i];
    double gradient = gradients.as<double>()[i] * (factor.present() ? factor.as<double>()[0] : 1.0);
    if (spec.kind == OptimizerKind::adamw) {
      parameter *= 1.0 - spec.lr * spec.weight_decay;
    } else {
      gradient += spec.weight_decay * parameter;
    }
    switch (spec.kind) {
      case OptimizerKind::sgd:
        parameter = sgd_step(spec, step, parameter, gradient, places);
        break;
      case OptimizerKind::rmsprop:
        parameter = rmsprop_step(spec, parameter, gradient, places);
        break;
      case OptimizerKind::adam:
      case OptimizerKind::adamw:
        parameter = adam_step(spec, step, parameter, gradient, places);
        break;
    }
  }
}

}  // namespace cardiograd
