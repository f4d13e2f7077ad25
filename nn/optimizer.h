// SGD with momentum, RMSprop, Adam, AdamW over the flat parameters, with PyTorch's arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nn/flat_parameters.h"
#include "nn/state_dict.h"

namespace cardiograd {

// "sgd", "rmsprop", "adam", "adamw", with PyTorch's default hyper-parameters (lr: 1e-3; rmsprop and
// sgd 1e-2). Throws InputError with the nearest name for anything else.
OptimizerSpec optimizer_defaults(std::string_view name);

class Optimizer {
 public:
  Optimizer(const OptimizerSpec& spec, FlatParameters& parameters);

  // Clips the whole gradient to `max_norm` (<= 0: no clipping), then updates the parameters.
  void step(double max_norm = 0.0);
  // L2 norm of the gradient of the last step, before clipping; only where max_norm was positive.
  double last_gradient_norm() const;

  OptimizerSpec& spec() { return spec_; }
  std::int64_t steps() const { return steps_; }

  // One tensor a parameter and state, "conv1.weight.square_avg", PyTorch's shapes; and "step"
  // (f64).
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state, const std::string& source);

 private:
  OptimizerSpec spec_;
  FlatParameters& parameters_;
  std::vector<Tensor> states_;
  Tensor norm_, factor_;
  std::int64_t steps_ = 0;
};

}  // namespace cardiograd
