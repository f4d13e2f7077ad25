// Cases of activations, softmax and dropout.
#include <limits>

#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

std::vector<std::pair<std::string, Activation>> activations() {
  return {{"relu", {ActivationKind::relu}},
          {"leaky_relu", {ActivationKind::leaky_relu, 0.01}},
          {"leaky_relu with slope 0.3", {ActivationKind::leaky_relu, 0.3}},
          {"sigmoid", {ActivationKind::sigmoid}},
          {"tanh", {ActivationKind::tanh}},
          {"gelu", {ActivationKind::gelu}},
          {"gelu_tanh", {ActivationKind::gelu_tanh}}};
}

OperationCase activation_case(const std::string& name, const Activation& activation,
                              const Dims& shape, Values values) {
  OperationCase each{
      name + " " + shape.to_string(), {}, [=](Backend& backend, const BoundOperands& o) {
        backend.activation_forward(activation, o["x"], o["y"]);
      }};
  return each.input("x", shape, std::move(values)).output("y", shape);
}

std::vector<OperationCase> all_activation_cases() {
  std::vector<OperationCase> cases;
  for (const auto& [name, activation] : activations()) {
    for (const Dims& shape : {Dims{3, 17, 12}, Dims{1}, Dims{0, 4}, Dims{}, Dims{1031}}) {
      cases.push_back(activation_case(name, activation, shape, off_zero()));
    }
    // Both tails, where exponentials saturate.
    cases.push_back(activation_case(name + " wide", activation, {2, 513}, uniform(-30.0, 30.0)));
  }
  return cases;
}

std::vector<Dims> softmax_shapes() {
  return {{3, 5}, {1, 1}, {7}, {0, 5}, {2, 3, 17}, {64, 71}, {3, 1}, {2, 1031}};
}

OperationCase softmax_case(const Dims& shape, double size) {
  OperationCase each{
      shape.to_string() + " up to " + std::to_string(size),
      {},
      [](Backend& backend, const BoundOperands& o) { backend.softmax_forward(o["x"], o["y"]); }};
  return each.input("x", shape, uniform(-size, size)).output("y", shape);
}

OperationCase dropout_case(const std::string& name, const DropoutSpec& spec, const Dims& shape,
                           bool records) {
  OperationCase each{name + " " + shape.to_string() + (records ? " with records" : ""),
                     {},
                     [=](Backend& backend, const BoundOperands& o) {
                       backend.dropout(spec, o.optional("records"), o["x"], o["y"]);
                     }};
  if (records) each.add({"records", Role::input, DType::i32, {shape[0]}, whole(0, 21799)});
  return each.input("x", shape, off_zero()).output("y", shape);
}

}  // namespace

std::vector<OperationCase> activation_forward_cases() {
  std::vector<OperationCase> cases = all_activation_cases();
  const std::vector<double> special{
      std::numeric_limits<double>::quiet_NaN(), 0.0, 1.0, -1.0, 90.0, -90.0};
  for (const auto& [name, activation] : activations()) {
    cases.push_back(activation_case(name + " with NaN", activation, {4, 9}, listed(special)));
  }
  return cases;
}

std::vector<OperationCase> activation_backward_cases() {
  std::vector<OperationCase> cases;
  const std::vector<OperationCase> forwards = all_activation_cases();
  for (std::size_t i = 0; i < forwards.size(); ++i) {
    const Activation activation =
        activations()[i / (forwards.size() / activations().size())].second;
    cases.push_back(
        backward_case(forwards[i], {"dx"}, [=](Backend& backend, const BoundOperands& o) {
          backend.activation_backward(activation, o["x"], o["y"], o["dy"], o["dx"]);
        }));
  }
  for (const auto& [name, activation] : activations()) {
    OperationCase in_place =
        backward_case(activation_case(name + " in place", activation, {3, 17, 5}, off_zero()), {},
                      [activation = activation](Backend& backend, const BoundOperands& o) {
                        backend.activation_backward(activation, o["x"], o["y"], o["dy"], o["dy"]);
                      });
    in_place.operands.back().role = Role::in_out;  // dy, which becomes dx
    cases.push_back(in_place);
  }
  return cases;
}

std::vector<OperationCase> softmax_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& shape : softmax_shapes()) {
    cases.push_back(softmax_case(shape, 2.0));
    cases.push_back(softmax_case(shape, 500.0));  // overflows where no maximum is subtracted
  }
  return cases;
}

std::vector<OperationCase> softmax_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& shape : softmax_shapes()) {
    cases.push_back(backward_case(softmax_case(shape, 2.0), {"dx"},
                                  [](Backend& backend, const BoundOperands& o) {
                                    backend.softmax_backward(o["y"], o["dy"], o["dx"]);
                                  }));
  }
  return cases;
}

std::vector<OperationCase> dropout_cases() {
  const RandomKey key{0x123456789abcdefU, 3, 5};
  std::vector<OperationCase> cases;
  for (const bool records : {false, true}) {
    for (const double p : {0.0, 0.1, 0.5, 0.75, 1.0}) {
      const std::string name = "p " + std::to_string(p);
      for (const Dims& shape : {Dims{3, 17, 12}, Dims{5, 13}, Dims{1, 1}, Dims{4}, Dims{0, 7},
                                Dims{3, 0}, Dims{2, 1031}, Dims{2, 3, 5, 7}}) {
        cases.push_back(dropout_case(name, {p, false, key}, shape, records));
      }
      for (const Dims& shape : {Dims{3, 17, 12}, Dims{2, 5, 33}, Dims{1, 1, 1}, Dims{0, 3, 4},
                                Dims{3, 0, 4}, Dims{7, 2, 3}}) {
        cases.push_back(dropout_case(name + " by channel", {p, true, key}, shape, records));
      }
    }
  }
  return cases;
}

}  // namespace cardiograd::cases
