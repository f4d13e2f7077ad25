// What the gradient norm and the optimizer's step ask of their operands, on every backend.
#pragma once

#include "kernels/backend.h"
#include "kernels/checks.h"

namespace cardiograd {

// Throws ShapeError unless norm and factor are one element each.
inline void check_gradient_norm(const View& norm, const View& factor) {
  CG_CHECK(norm.numel() == 1 && factor.numel() == 1,
           "gradient_norm: norm and factor are one element each, got shapes " +
               norm.dims.to_string() + " and " + factor.dims.to_string());
}

// Throws ShapeError unless the buffers have one shape and are as many as the optimizer needs.
inline void check_optimizer_step(const OptimizerSpec& spec, const OptimizerOperands& x) {
  require_same_shape("optimizer_step", x.gradients.dims, x.parameters.dims);
  CG_CHECK(!x.factor.present() || x.factor.numel() == 1,
           "optimizer_step: factor is one element, got shape " + x.factor.dims.to_string());
  CG_CHECK(x.schedule.dtype == DType::f64 && x.schedule.dims == Dims{4},
           "optimizer_step: schedule is f64 [4], got " + std::string(name_of(x.schedule.dtype)) +
               " " + x.schedule.dims.to_string());
  CG_CHECK(!x.guard.present() || x.guard.numel() == 1,
           "optimizer_step: guard is one element, got shape " + x.guard.dims.to_string());
  const std::size_t needed = spec.state_names().size();
  CG_CHECK(x.states.size() == needed, "optimizer_step: this optimizer keeps " +
                                          std::to_string(needed) + " states, got " +
                                          std::to_string(x.states.size()));
  for (const View& state : x.states) {
    require_same_shape("optimizer_step", state.dims, x.parameters.dims);
  }
  if (x.average.present()) {
    require_same_shape("optimizer_step", x.average.dims, x.parameters.dims);
  }
  if (x.rounded.present()) {
    require_same_shape("optimizer_step", x.rounded.dims, x.parameters.dims);
    CG_CHECK(x.rounded.dtype == DType::bf16,
             "optimizer_step: rounded is bf16, got " + std::string(name_of(x.rounded.dtype)));
  }
}

}  // namespace cardiograd
