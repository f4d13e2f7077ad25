// Cases of the loss, the gradient norm and the optimizers.
#include <cmath>
#include <limits>
#include <optional>

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

// What a bf16 buffer can hold.
Values in_bf16(const Values& values) {
  return [=](std::int64_t count, std::uint64_t seed) {
    std::vector<double> result = values(count, seed);
    for (double& value : result) value = static_cast<float>(BFloat16(static_cast<float>(value)));
    return result;
  };
}

// Where the parameters are so far from the middle between two bf16 numbers that no rounding error
// of theirs decides which one is taken.
std::vector<bool> far_from_the_middle(const std::vector<double>& parameters) {
  std::vector<bool> far;
  for (const double value : parameters) {
    const double error = 1e-5 * std::fabs(value) + 1e-6;
    const auto round = [](double x) { return BFloat16(static_cast<float>(x)).bits; };
    far.push_back(round(value - error) == round(value + error));
  }
  return far;
}

// The buffers besides parameters and states, and where weight decay ends.
struct OptimizerForm {
  bool clipped = false;
  bool bf16_gradients = false;
  bool average = false;
  bool rounded = false;
  std::optional<double> guard{};  // its value
  std::int64_t decayed = std::numeric_limits<std::int64_t>::max();

  std::string name() const {
    std::string text;
    if (clipped) text += " clipped";
    if (bf16_gradients) text += " from bf16";
    if (average) text += " averaged";
    if (rounded) text += " rounded";
    if (guard)
      text += std::isfinite(*guard) ? " guarded"
              : std::isnan(*guard)  ? " held by NaN"
                                    : " held by infinity";
    if (decayed != OptimizerForm{}.decayed) text += " decayed up to " + std::to_string(decayed);
    return text;
  }
};

OperationCase optimizer_case(const std::string& name, OptimizerSpec spec, std::int64_t step,
                             std::int64_t size, const OptimizerForm& form) {
  const std::vector<std::string> states = spec.state_names();
  const bool adam = spec.kind == OptimizerKind::adam || spec.kind == OptimizerKind::adamw;
  spec.decayed = form.decayed;
  OperationCase each{
      name + " step " + std::to_string(step) + " of " + std::to_string(size) + form.name(),
      {},
      [=](Backend& backend, const BoundOperands& o) {
        OptimizerOperands x{o["gradients"],        o.optional("factor"), o["schedule"],
                            o.optional("guard"),   o["parameters"],      {},
                            o.optional("average"), o.optional("rounded")};
        for (const std::string& state : states) x.states.push_back(o[state]);
        backend.optimizer_step(spec, x);
      }};
  // One f32 buffer, whatever the backend's storage is.
  const auto buffer = [&](const std::string& operand, Values values) {
    each.add({operand, Role::in_out, DType::f32, {size}, std::move(values)});
  };
  if (form.bf16_gradients) {
    each.add({"gradients", Role::input, DType::bf16, {size}, in_bf16(uniform())});
  } else {
    each.add({"gradients", Role::input, DType::f32, {size}, uniform()});
  }
  if (form.clipped) each.add({"factor", Role::input, DType::f32, {1}, listed({0.25})});
  each.add({"schedule",
            Role::input,
            DType::f64,
            {4},
            listed({0.05, static_cast<double>(step), form.average ? 0.75 : 0.0,
                    adam ? 0.85 : spec.momentum})});
  if (form.guard) each.add({"guard", Role::input, DType::f32, {1}, listed({*form.guard})});
  buffer("parameters", uniform());
  for (const std::string& state : states) {
    // A centered RMSprop's squares exceed the square of its averages, as they do after real steps.
    const bool squares = state == "square_avg" || state == "exp_avg_sq";
    Values values = squares ? uniform(0.5, 1.0) : uniform(-0.5, 0.5);
    buffer(state, step == 1 ? listed({0.0}) : std::move(values));
  }
  if (form.average) buffer("average", uniform());
  if (form.rounded) {
    each.add({"rounded",
              Role::output,
              DType::bf16,
              {size},
              nullptr,
              true,
              [](Backend&, const BoundOperands& o) {
                return far_from_the_middle(o.read("parameters"));
              }});
  }
  return each;
}

OperationCase norm_case(const std::string& name, double max_norm, Dims size, Values values,
                        std::optional<DType> dtype) {
  OperationCase each{name, {}, [=](Backend& backend, const BoundOperands& o) {
                       backend.gradient_norm(o["gradients"], max_norm, o["norm"], o["factor"]);
                     }};
  each.add({"gradients", Role::input, dtype, size, std::move(values)});
  each.add({"norm", Role::output, DType::f32, {1}});
  each.add({"factor", Role::output, DType::f32, {1}});
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
      cases.push_back(
          norm_case(std::to_string(size) + " elements, at most " + std::to_string(max_norm),
                    max_norm, {size}, uniform(), {}));
    }
  }
  cases.push_back(norm_case("of bf16", 0.5, {1031}, in_bf16(uniform()), DType::bf16));
  // Squares that leave float32's range, of a norm that does not.
  cases.push_back(norm_case("squares beyond float32", 1.0, {40}, listed({1e25, -3e25, 2.0}), {}));
  cases.push_back(norm_case("a NaN in the gradients", 1.0, {40},
                            listed({1.0, std::numeric_limits<double>::quiet_NaN(), 2.0}), {}));
  return cases;
}

std::vector<OperationCase> optimizer_step_cases() {
  std::vector<OperationCase> cases;
  for (const auto& [name, spec] : optimizers()) {
    for (const std::int64_t step : {1, 2, 1000}) {
      cases.push_back(optimizer_case(name, spec, step, 37, {}));
      cases.push_back(optimizer_case(name, spec, step, 1031, {.clipped = true}));
    }
    cases.push_back(optimizer_case(name, spec, 1, 1, {}));
    cases.push_back(optimizer_case(name, spec, 1, 0, {}));
    cases.push_back(optimizer_case(name, spec, 3, 70001, {.clipped = true}));
    // Every form; the borders of weight decay lie inside 16 bytes, at both ends and outside.
    for (const bool bf16 : {false, true}) {
      for (const bool average : {false, true}) {
        for (const bool rounded : {false, true}) {
          const std::int64_t decayed = 13 + 2 * (bf16 ? 1 : 0) + (average ? 1 : 0);
          cases.push_back(
              optimizer_case(name, spec, 4, 43, {true, bf16, average, rounded, {}, decayed}));
        }
      }
    }
    cases.push_back(optimizer_case(name, spec, 4, 2077, {false, true, true, true, {}, 1030}));
    for (const double guard : {0.5, std::nan(""), -HUGE_VAL}) {
      cases.push_back(optimizer_case(name, spec, 2, 43, {.average = true, .guard = guard}));
    }
  }
  const OptimizerSpec adamw = optimizers().back().second;
  for (const std::int64_t decayed : {0, 1, 42, 43, 1000}) {
    cases.push_back(optimizer_case("adamw", adamw, 5, 43, {.decayed = decayed}));
  }
  return cases;
}

}  // namespace cardiograd::cases
