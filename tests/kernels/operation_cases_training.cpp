// Cases of the loss, the gradient norm and the optimizers.
#include <limits>

#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

const char* name_of_reduction(Reduction reduction) {
  switch (reduction) {
    case Reduction::none:
      return "none";
    case Reduction::mean:
      return "mean";
    case Reduction::sum:
      break;
  }
  return "sum";
}

OperationCase bce_case(const std::string& title, const Dims& shape, const BceSpec& spec,
                       bool weighted, bool gradient, Values logits, Values targets) {
  const Reduction reduction = spec.reduction;
  OperationCase each{shape.to_string() + " " + name_of_reduction(reduction) + title +
                         (weighted ? " weighted" : "") + (gradient ? " with gradient" : ""),
                     {},
                     [=](Backend& backend, const BoundOperands& o) {
                       backend.bce_with_logits(spec, o["logits"], o["targets"],
                                               o.optional("pos_weight"), o["y"],
                                               o.optional("dlogits"));
                     }};
  each.input("logits", shape, std::move(logits)).input("targets", shape, std::move(targets));
  if (weighted) each.input("pos_weight", {shape[-1]}, uniform(0.25, 8.0));
  each.output("y", reduction == Reduction::none ? shape : Dims{1});
  if (gradient) each.output("dlogits", shape);
  return each;
}

std::vector<std::pair<std::string, OptimizerSpec>> optimizers() {
  std::vector<std::pair<std::string, OptimizerSpec>> all;
  const auto push = [&](const char* name, OptimizerKind kind, double weight_decay,
                        double momentum) -> OptimizerSpec& {
    OptimizerSpec spec;
    spec.kind = kind;
    spec.lr = 0.05;
    spec.weight_decay = weight_decay;
    spec.momentum = momentum;
    all.emplace_back(name, spec);
    return all.back().second;
  };
  push("sgd", OptimizerKind::sgd, 0.0, 0.0);
  push("sgd with weight decay", OptimizerKind::sgd, 0.1, 0.0);
  push("sgd with momentum", OptimizerKind::sgd, 0.0, 0.9);
  push("sgd with dampening", OptimizerKind::sgd, 0.1, 0.9).dampening = 0.3;
  push("sgd with nesterov", OptimizerKind::sgd, 0.1, 0.9).nesterov = true;
  push("rmsprop", OptimizerKind::rmsprop, 0.0, 0.0);
  push("rmsprop with momentum", OptimizerKind::rmsprop, 0.1, 0.9);
  push("rmsprop centered", OptimizerKind::rmsprop, 0.0, 0.0).centered = true;
  push("rmsprop centered with momentum", OptimizerKind::rmsprop, 0.1, 0.9).centered = true;
  push("adam", OptimizerKind::adam, 0.0, 0.0);
  push("adam with weight decay", OptimizerKind::adam, 0.1, 0.0);
  push("adamw", OptimizerKind::adamw, 0.1, 0.0);
  return all;
}

OperationCase optimizer_case(const std::string& name, const OptimizerSpec& spec, std::int64_t step,
                             std::int64_t size, bool factor) {
  const std::vector<std::string> states = spec.state_names();
  OperationCase each{name + " step " + std::to_string(step) + " of " + std::to_string(size) +
                         (factor ? " clipped" : ""),
                     {},
                     [=](Backend& backend, const BoundOperands& o) {
                       std::vector<View> views;
                       for (const std::string& state : states) views.push_back(o[state]);
                       backend.optimizer_step(spec, step, o["gradients"], o.optional("factor"),
                                              o["parameters"], views);
                     }};
  each.input("gradients", {size}).in_out("parameters", {size});
  if (factor) each.input("factor", {1}, listed({0.25}));
  for (const std::string& state : states) {
    // A centered RMSprop's squares exceed the square of its averages, as they do after real steps.
    const bool squares = state == "square_avg" || state == "exp_avg_sq";
    Values values = squares ? uniform(0.5, 1.0) : uniform(-0.5, 0.5);
    each.in_out(state, {size}, step == 1 ? listed({0.0}) : std::move(values));
  }
  return each;
}

}  // namespace

std::vector<OperationCase> bce_with_logits_cases() {
  std::vector<OperationCase> cases;
  for (const Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum}) {
    for (const bool weighted : {false, true}) {
      for (const bool gradient : {false, true}) {
        for (const Dims& shape : {Dims{3, 5}, Dims{1, 1}, Dims{0, 5}, Dims{64, 71}, Dims{7},
                                  Dims{2, 3, 17}, Dims{1031, 12}}) {
          cases.push_back(bce_case("", shape, {reduction}, weighted, gradient, uniform(-3.0, 3.0),
                                   uniform(0.0, 1.0)));
        }
        // Where exp overflows in float32, and targets of exactly 0 and 1.
        cases.push_back(bce_case("", {6, 33}, {reduction}, weighted, gradient,
                                 uniform(-200.0, 200.0), whole(0, 1)));
      }
    }
  }
  struct Form {
    const char* title;
    BceSpec spec;
  };
  constexpr Reduction none = Reduction::none;
  for (const Form& form : {Form{" smoothed", {none, 0.1}},
                           Form{" focal", {Reduction::mean, 0.0, 2.0, 2.0, 0.0, 0.25, 0.75}},
                           Form{" asymmetric", {none, 0.0, 1.0, 4.0, 0.05}},
                           Form{" asymmetric smoothed", {Reduction::sum, 0.2, 0.0, 1.5, 0.2}},
                           Form{" margin alone", {none, 0.0, 0.0, 0.0, 0.1}}}) {
    for (const bool weighted : {false, true}) {
      cases.push_back(bce_case(form.title, {5, 71}, form.spec, weighted, true, uniform(-4.0, 4.0),
                               uniform(0.0, 1.0)));
      cases.push_back(bce_case(form.title, {3, 5}, form.spec, weighted, true, uniform(0.5, 3.0),
                               uniform(0.0, 1.0)));
    }
    cases.push_back(
        bce_case(form.title, {6, 33}, form.spec, false, true, uniform(-200.0, 200.0), whole(0, 1)));
  }
  return cases;
}

std::vector<OperationCase> gradient_norm_cases() {
  std::vector<OperationCase> cases;
  for (const double max_norm : {0.0, -1.0, 0.5, 1e9}) {
    for (const std::int64_t size : {1, 7, 0, 1031, 70001}) {
      OperationCase each{std::to_string(size) + " elements, at most " + std::to_string(max_norm),
                         {},
                         [=](Backend& backend, const BoundOperands& o) {
                           backend.gradient_norm(o["gradients"], max_norm, o["norm"], o["factor"]);
                         }};
      cases.push_back(each.input("gradients", {size}).output("norm", {1}).output("factor", {1}));
    }
  }
  // Squares that leave float32's range, of a norm that does not.
  OperationCase large{"squares beyond float32", {}, [](Backend& backend, const BoundOperands& o) {
                        backend.gradient_norm(o["gradients"], 1.0, o["norm"], o["factor"]);
                      }};
  cases.push_back(large.input("gradients", {40}, listed({1e25, -3e25, 2.0}))
                      .output("norm", {1})
                      .output("factor", {1}));
  OperationCase unbounded{
      "a NaN in the gradients", {}, [](Backend& backend, const BoundOperands& o) {
        backend.gradient_norm(o["gradients"], 1.0, o["norm"], o["factor"]);
      }};
  cases.push_back(
      unbounded
          .input("gradients", {40}, listed({1.0, std::numeric_limits<double>::quiet_NaN(), 2.0}))
          .output("norm", {1})
          .output("factor", {1}));
  return cases;
}

std::vector<OperationCase> optimizer_step_cases() {
  std::vector<OperationCase> cases;
  for (const auto& [name, spec] : optimizers()) {
    for (const std::int64_t step : {1, 2, 1000}) {
      cases.push_back(optimizer_case(name, spec, step, 37, false));
      cases.push_back(optimizer_case(name, spec, step, 1031, true));
    }
    cases.push_back(optimizer_case(name, spec, 1, 1, false));
    cases.push_back(optimizer_case(name, spec, 1, 0, false));
    cases.push_back(optimizer_case(name, spec, 3, 70001, true));
  }
  return cases;
}

}  // namespace cardiograd::cases
