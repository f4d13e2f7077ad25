#include "nn/optimizer.h"

#include "kernels/text.h"

namespace cardiograd {

OptimizerSpec optimizer_defaults(std::string_view name) {
  static const std::vector<std::string> names{"sgd", "rmsprop", "adam", "adamw"};
  OptimizerSpec spec;
  if (name == "sgd") {
    spec.kind = OptimizerKind::sgd;
    spec.lr = 1e-2;
  } else if (name == "rmsprop") {
    spec.kind = OptimizerKind::rmsprop;
    spec.lr = 1e-2;
  } else if (name == "adam") {
    spec.kind = OptimizerKind::adam;
  } else if (name == "adamw") {
    spec.kind = OptimizerKind::adamw;
    spec.weight_decay = 1e-2;
  } else {
    throw InputError("optimizer " + quote(name) + " is unknown" + suggestion(name, names));
  }
  return spec;
}

Optimizer::Optimizer(const OptimizerSpec& spec, FlatParameters& parameters)
    : spec_(spec), parameters_(parameters) {
  const Tensor& values = parameters.values();
  for (std::size_t i = 0; i < spec.state_names().size(); ++i) {
    states_.push_back(Tensor::full(values.backend(), values.dims(), values.dtype(), 0.0));
  }
  norm_ = Tensor::full(values.backend(), {1}, values.dtype(), 0.0);
  factor_ = Tensor::full(values.backend(), {1}, values.dtype(), 1.0);
}

void Optimizer::step(double max_norm) {
  parameters_.finish_gradients();
  Backend& backend = *parameters_.values().backend();
  const ConstView gradients = parameters_.gradients().view();
  ConstView factor;
  if (max_norm > 0.0) {
    backend.gradient_norm(gradients, max_norm, norm_.view(), factor_.view());
    factor = factor_.view();
  }
  ++steps_;
  std::vector<View> states;
  for (const Tensor& state : states_) states.push_back(state.view());
  backend.optimizer_step(spec_, steps_, gradients, factor, parameters_.values().view(), states);
}

double Optimizer::last_gradient_norm() const { return norm_.item(); }

StateDict Optimizer::state_dict() const {
  StateDict result;
  const std::vector<std::string> names = spec_.state_names();
  for (const FlatParameters::Span& span : parameters_.spans()) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      result.push_back({span.name + "." + names[i],
                        to_torch(FlatParameters::part(states_[i], span), span.layout)});
    }
  }
  result.push_back(
      {"step", Tensor::full(norm_.backend(), {}, DType::f64, static_cast<double>(steps_))});
  return result;
}

void Optimizer::load_state_dict(const StateDict& state, const std::string& source) {
  std::vector<NamedTensor> targets;
  const std::vector<std::string> names = spec_.state_names();
  for (const FlatParameters::Span& span : parameters_.spans()) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      targets.push_back(
          {span.name + "." + names[i], FlatParameters::part(states_[i], span), span.layout});
    }
  }
  const Tensor step = Tensor::full(norm_.backend(), {}, DType::f64, 0.0);
  targets.push_back({"step", step, {}});
  load_tensors(targets, state, source);
  steps_ = static_cast<std::int64_t>(step.item());
}

}  // namespace cardiograd
