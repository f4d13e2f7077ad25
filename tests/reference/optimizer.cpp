// Gradient norm and the optimizers, each step as PyTorch's documentation of the optimizer gives it.
#include <cmath>

#include "kernels/optimizer_checks.h"
#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

// One parameter's step: returns its new value; states: its value in each state.
double sgd_step(const OptimizerSpec& spec, double lr, double momentum, double step,
                double parameter, double gradient, std::vector<double>& states) {
  if (spec.momentum > 0.0) {
    double& buffer = states[0];
    buffer = step == 1.0 ? gradient : momentum * buffer + (1.0 - spec.dampening) * gradient;
    gradient = spec.nesterov ? gradient + momentum * buffer : buffer;
  }
  return parameter - lr * gradient;
}

double rmsprop_step(const OptimizerSpec& spec, double lr, double momentum, double parameter,
                    double gradient, std::vector<double>& states) {
  double& square = states[0];
  square = spec.alpha * square + (1.0 - spec.alpha) * gradient * gradient;
  double variance = square;
  if (spec.centered) {
    double& average = states[1];
    average = spec.alpha * average + (1.0 - spec.alpha) * gradient;
    variance -= average * average;
  }
  const double update = gradient / (std::sqrt(variance) + spec.eps);
  if (spec.momentum > 0.0) {
    double& buffer = states.back();
    buffer = momentum * buffer + update;
    return parameter - lr * buffer;
  }
  return parameter - lr * update;
}

double adam_step(const OptimizerSpec& spec, double lr, double beta1, double step, double parameter,
                 double gradient, std::vector<double>& states) {
  double& first = states[0];
  double& second = states[1];
  first = beta1 * first + (1.0 - beta1) * gradient;
  second = spec.beta2 * second + (1.0 - spec.beta2) * gradient * gradient;
  const double unbiased_first = first / (1.0 - std::pow(beta1, step));
  const double unbiased_second = second / (1.0 - std::pow(spec.beta2, step));
  return parameter - lr * unbiased_first / (std::sqrt(unbiased_second) + spec.eps);
}

// Here buffers may have any floating dtype: f64, or what another backend compares itself with.
double read(const ConstView& view, std::int64_t i) {
  return dispatch(view.dtype, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same_v<T, BFloat16>) {
      return static_cast<double>(static_cast<float>(view.as<T>()[i]));
    } else {
      return static_cast<double>(view.as<T>()[i]);
    }
  });
}

void write(const View& view, std::int64_t i, double value) {
  dispatch(view.dtype, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same_v<T, BFloat16>) {
      view.as<T>()[i] = BFloat16(static_cast<float>(value));
    } else {
      view.as<T>()[i] = static_cast<T>(value);
    }
  });
}

// The new value of a parameter.
double step_of(const OptimizerSpec& spec, const double* schedule, bool decayed, double parameter,
               double gradient, std::vector<double>& states) {
  const double lr = schedule[0], momentum = schedule[3];
  const double weight_decay = decayed ? spec.weight_decay : 0.0;
  if (spec.kind == OptimizerKind::adamw) {
    parameter *= 1.0 - lr * weight_decay;
  } else {
    gradient += weight_decay * parameter;
  }
  switch (spec.kind) {
    case OptimizerKind::sgd:
      return sgd_step(spec, lr, momentum, schedule[1], parameter, gradient, states);
    case OptimizerKind::rmsprop:
      return rmsprop_step(spec, lr, momentum, parameter, gradient, states);
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      break;
  }
  return adam_step(spec, lr, momentum, schedule[1], parameter, gradient, states);
}

}  // namespace

void ReferenceBackend::gradient_norm(ConstView gradients, double max_norm, View norm, View factor) {
  check_gradient_norm(norm, factor);
  double squares = 0.0;
  for (std::int64_t i = 0; i < gradients.numel(); ++i) {
    squares += read(gradients, i) * read(gradients, i);
  }
  const double length = std::sqrt(squares);
  const double ratio = max_norm > 0.0 ? max_norm / (length + 1e-6) : 1.0;
  write(norm, 0, length);
  write(factor, 0, ratio > 1.0 ? 1.0 : ratio);  // a NaN stays one
}

void ReferenceBackend::optimizer_step(const OptimizerSpec& spec, const OptimizerOperands& x) {
  check_optimizer_step(spec, x);
  const double* schedule = x.schedule.as<double>();
  if (x.guard.present() && !std::isfinite(read(x.guard, 0))) return;
  const double factor = x.factor.present() ? read(x.factor, 0) : 1.0;
  for (std::int64_t i = 0; i < x.parameters.numel(); ++i) {
    std::vector<double> states;
    for (const View& state : x.states) states.push_back(read(state, i));
    const double updated = step_of(spec, schedule, i < spec.decayed, read(x.parameters, i),
                                   read(x.gradients, i) * factor, states);
    write(x.parameters, i, updated);
    for (std::size_t s = 0; s < states.size(); ++s) write(x.states[s], i, states[s]);
    if (x.average.present()) {
      write(x.average, i, schedule[2] * read(x.average, i) + (1.0 - schedule[2]) * updated);
    }
    if (x.rounded.present()) write(x.rounded, i, updated);
  }
}

}  // namespace cardiograd
