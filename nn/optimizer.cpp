#include "nn/optimizer.h"

#include <algorithm>

#include "kernels/text.h"
#include "nn/layer_scope.h"
#include "nn/ops.h"

namespace cardiograd {

namespace {

constexpr const char* average_name = "average";

}  // namespace

OptimizerOptions optimizer_defaults(std::string_view name) {
  static const std::vector<std::string> names{"sgd", "rmsprop", "adam", "adamw"};
  OptimizerOptions spec;
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

Optimizer::Optimizer(const OptimizerOptions& options, FlatParameters& parameters)
    : options_(options), parameters_(parameters) {
  if (!(options.ema_decay >= 0.0 && options.ema_decay < 1.0)) {
    throw InputError("the decay of the weights' average must lie in [0, 1), got " +
                     shortest_number(options.ema_decay));
  }
  options_.decayed = parameters.decayed();
  const Tensor& master = parameters.master();
  for (std::size_t i = 0; i < options_.state_names().size(); ++i) {
    states_.push_back(parameters.zeros());
  }
  if (options.ema_decay > 0.0) average_ = parameters.zeros();
  norm_ = Tensor::full(master.backend(), {1}, master.dtype(), 0.0);
  factor_ = Tensor::full(master.backend(), {1}, master.dtype(), 1.0);
  schedule_ = Tensor::full(master.backend(), {4}, DType::f64, 0.0);
}

void Optimizer::set_momentum(double momentum) {
  if (options_.kind == OptimizerKind::adam || options_.kind == OptimizerKind::adamw) {
    options_.beta1 = momentum;
  } else if (options_.momentum > 0.0) {
    CG_CHECK(momentum > 0.0, "momentum must stay positive: its buffer would be left behind");
    options_.momentum = momentum;
  }
}

void Optimizer::step(double max_norm) {
  begin_step();
  update(max_norm);
}

void Optimizer::begin_step() {
  const PassScope pass(Pass::update);
  CG_CHECK(!averaged_, "a step cannot be done while the model has the averaged weights");
  if (steps_ == 0) {
    // The weights may have been loaded since the constructor.
    parameters_.refresh_master();
    const Tensor& master = parameters_.master();
    if (average_.defined()) master.backend()->copy(master.view(), average_.view());
  }
  ++steps_;
  write_schedule();
}

// By fill, which needs no wait for the device; and what has not changed is there.
void Optimizer::write_schedule() {
  const auto step = static_cast<double>(steps_);
  const bool adam = options_.kind == OptimizerKind::adam || options_.kind == OptimizerKind::adamw;
  const std::array<double, 4> now{options_.lr, step,
                                  std::min(options_.ema_decay, (1.0 + step) / (10.0 + step)),
                                  adam ? options_.beta1 : options_.momentum};
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (now[i] == written_[i]) continue;
    const Tensor place = schedule_.window(static_cast<std::int64_t>(i), {1});
    place.backend()->fill(place.view(), now[i]);
  }
  written_ = now;
}

void Optimizer::update(double max_norm, const Tensor& guard) {
  const PassScope pass(Pass::update);
  parameters_.finish_gradients();
  const Tensor& gradients = parameters_.gradients();
  ConstView factor;
  if (max_norm > 0.0) {
    gradients.backend()->gradient_norm(gradients.view(), max_norm, norm_.view(), factor_.view());
    factor = factor_.view();
  }
  update_elements(0, gradients.numel(), factor, guard);
}

void Optimizer::update_part(std::int64_t first, std::int64_t count, const Tensor& guard) {
  const PassScope pass(Pass::update);
  CG_CHECK(collect_ != nullptr, "a part of an update needs somebody who does the rest");
  partial_ = true;
  update_elements(first, count, {}, guard);
}

void Optimizer::update_elements(std::int64_t first, std::int64_t count, ConstView factor,
                                const Tensor& guard) {
  const auto part = [&](const Tensor& flat) { return flat.window(first, {count}).view(); };
  OptimizerOperands x;
  x.gradients = part(parameters_.gradients());
  x.factor = factor;
  x.schedule = schedule_.view();
  if (guard.defined()) x.guard = guard.view();
  x.parameters = part(parameters_.master());
  for (const Tensor& state : states_) x.states.push_back(part(state));
  if (average_.defined()) x.average = part(average_);
  if (parameters_.values().dtype() == DType::bf16) x.rounded = part(parameters_.values());
  OptimizerSpec spec = options_;
  spec.decayed = std::clamp<std::int64_t>(options_.decayed - first, 0, count);
  parameters_.values().backend()->optimizer_step(spec, x);
}

void Optimizer::collect() const {
  if (std::exchange(partial_, false)) collect_();
}

double Optimizer::last_gradient_norm() const { return norm_.item(); }

std::size_t Optimizer::bytes() const {
  std::size_t bytes = average_.defined() ? average_.view().bytes() : 0;
  for (const Tensor& state : states_) bytes += state.view().bytes();
  return bytes;
}

std::vector<Tensor> Optimizer::kept() const {
  std::vector<Tensor> result = states_;
  if (average_.defined()) result.push_back(average_);
  return result;
}

std::vector<Optimizer::Buffer> Optimizer::buffers() const {
  std::vector<Buffer> result;
  const std::vector<std::string> names = options_.state_names();
  for (std::size_t i = 0; i < names.size(); ++i) result.push_back({names[i], states_[i]});
  if (average_.defined()) result.push_back({average_name, average_});
  if (parameters_.values().dtype() == DType::bf16) {
    result.push_back({"master", parameters_.master()});
  }
  return result;
}

StateDict Optimizer::state_dict() const {
  collect();
  StateDict result;
  for (const FlatParameters::Span& span : parameters_.spans()) {
    for (const Buffer& buffer : buffers()) {
      result.push_back({span.name + "." + buffer.name,
                        to_torch(FlatParameters::part(buffer.flat, span), span.layout)});
    }
  }
  result.push_back(
      {"step", Tensor::full(norm_.backend(), {}, DType::f64, static_cast<double>(steps_))});
  return result;
}

StateDict Optimizer::model_state(const Module& module) const {
  collect();
  StateDict result = cardiograd::state_dict(module);
  const std::vector<NamedTensor> parameters = module.parameters();  // first in the state, too
  for (std::size_t i = 0; i < result.size(); ++i) {
    Tensor& value = result[i].value;
    if (value.dtype() != DType::bf16) continue;
    const FlatParameters::Span* span =
        i < parameters.size() ? parameters_.span_of(parameters[i].tensor) : nullptr;
    if (span != nullptr && steps_ > 0) {
      const Tensor& precise = averaged_ ? average_ : parameters_.master();
      value = to_torch(FlatParameters::part(precise, *span), span->layout);
    } else {
      value = cast(value, DType::f32);
    }
  }
  return result;
}

void Optimizer::load_state_dict(const StateDict& state, const std::string& source) {
  const std::string first_average = parameters_.spans().front().name + "." + average_name;
  const bool has_average = std::any_of(state.begin(), state.end(), [&](const StateEntry& entry) {
    return entry.name == first_average;
  });
  if (average_.defined() && !has_average) {
    throw InputError(source +
                     " has no average of the weights to go on with: set ema_decay to 0, "
                     "or go on from a state that was saved with an average");
  }
  if (!average_.defined() && has_average) {
    throw InputError(source +
                     " has an average of the weights, which would be lost: set ema_decay "
                     "to what that run had");
  }
  std::vector<NamedTensor> targets;
  for (const FlatParameters::Span& span : parameters_.spans()) {
    for (const Buffer& buffer : buffers()) {
      targets.push_back(
          {span.name + "." + buffer.name, FlatParameters::part(buffer.flat, span), span.layout});
    }
  }
  const Tensor step = Tensor::full(norm_.backend(), {}, DType::f64, 0.0);
  targets.push_back({"step", step, {}});
  load_tensors(targets, state, source);
  steps_ = static_cast<std::int64_t>(step.item());
  partial_ = false;
}

AveragedWeights::AveragedWeights(Optimizer& optimizer) : optimizer_(optimizer) {
  if (!optimizer.average_.defined() || optimizer.steps_ == 0) return;
  CG_CHECK(!optimizer.averaged_, "the model has the averaged weights already");
  optimizer.collect();
  const Tensor& values = optimizer.parameters_.values();
  own_ = Tensor::empty(values.backend(), values.dims(), values.dtype());
  values.backend()->copy(values.view(), own_.view());
  values.backend()->cast(optimizer.average_.view(), values.view());
  optimizer.averaged_ = true;
}

AveragedWeights::~AveragedWeights() {
  if (!own_.defined()) return;
  own_.backend()->copy(own_.view(), optimizer_.parameters_.values().view());
  optimizer_.averaged_ = false;
}

}  // namespace cardiograd
