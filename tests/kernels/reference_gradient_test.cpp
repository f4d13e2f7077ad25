// The reference's gradients against central differences of its own forward pass, in float64: for
// L = sum of dy y, dL/dx is (L(x + h) - L(x - h)) / 2h, element by element.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "tests/kernels/operation_cases.h"
#include "tests/reference/reference_backend.h"

namespace cardiograd {
namespace {

using cases::BoundOperands;
using cases::Operand;
using cases::OperandValues;
using cases::OperationCase;
using cases::Role;

constexpr double step = 1e-5;
constexpr double relative_error = 1e-6;
constexpr double rounding_noise = 1e-9;  // of the difference quotient itself
constexpr std::size_t sampled_elements = 24;

// L as a function of the forward inputs.
class Loss {
 public:
  Loss(const OperationCase& forward, std::vector<double> cotangent)
      : forward_(forward),
        cotangent_(std::move(cotangent)),
        operands_(backend_, forward.operands) {}

  double operator()(const OperandValues& values) {
    operands_.reset(values);
    forward_.call(backend_, operands_);
    const std::vector<double> y = operands_.read("y");
    double total = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) total += cotangent_[i] * y[i];
    return total;
  }

 private:
  ReferenceBackend backend_;
  const OperationCase& forward_;
  std::vector<double> cotangent_;
  BoundOperands operands_;
};

std::string compare_with_differences(const std::string& name, const std::vector<double>& gradient,
                                     const OperandValues& inputs, Loss& loss) {
  OperandValues moved = inputs;
  std::vector<double>& values = moved.at(name);
  const std::size_t stride = std::max<std::size_t>(1, values.size() / sampled_elements);
  double largest = 0.0;
  double largest_error = 0.0;
  for (std::size_t i = 0; i < values.size(); i += stride) {
    const double value = values[i];
    values[i] = value + step;
    const double above = loss(moved);
    values[i] = value - step;
    const double below = loss(moved);
    values[i] = value;
    const double difference = (above - below) / (2.0 * step);
    largest = std::max(largest, std::fabs(difference));
    const double error = std::fabs(gradient[i] - difference);
    if (!(error <= largest_error)) largest_error = error;  // a NaN stays
  }
  if (largest_error <= relative_error * largest + rounding_noise) return "";
  return "d" + name + " is off by " + std::to_string(largest_error) + " where the largest is " +
         std::to_string(largest);
}

// Checks each output "dNAME" of the backward case. Returns what is wrong, or nothing.
std::string check_gradient(const OperationCase& backward, Backend& backend) {
  const OperandValues inputs = cases::make_inputs(backward, false);
  const BoundOperands operands(backend, backward.operands);
  operands.reset(inputs);
  backward.call(backend, operands);
  // What the forward call changes in place (running statistics) starts from its own value.
  OperandValues forward_inputs = cases::make_inputs(*backward.forward);
  for (const Operand& operand : backward.forward->operands) {
    if (operand.role == Role::input) forward_inputs[operand.name] = inputs.at(operand.name);
  }
  Loss loss(*backward.forward, inputs.at("dy"));
  for (const Operand& operand : backward.operands) {
    const std::string of = operand.name.substr(1);
    const bool gradient =
        operand.role == Role::output && operand.name[0] == 'd' && backward.forward->has(of);
    if (!gradient) continue;
    const std::string wrong =
        compare_with_differences(of, operands.read(operand.name), forward_inputs, loss);
    if (!wrong.empty()) return backward.name + ": " + wrong;
  }
  return "";
}

// Two forward passes an element: large cases say nothing more than small ones.
bool is_small(const OperationCase& each) {
  std::int64_t elements = 0;
  for (const Operand& operand : each.operands) elements += operand.dims.numel();
  return elements <= 6000;
}

// The loss gives its own gradient; its cotangent is 1.
std::vector<OperationCase> bce_gradients() {
  std::vector<OperationCase> result;
  for (const OperationCase& each : cases::bce_with_logits_cases()) {
    if (!each.has("dlogits")) continue;
    OperationCase backward = each;
    backward.forward = std::make_shared<const OperationCase>(each);
    backward.input("dy", each.at("y").dims, cases::listed({1.0}));
    result.push_back(backward);
  }
  return result;
}

class ReferenceGradient : public ::testing::TestWithParam<std::string> {};

TEST_P(ReferenceGradient, IsThatOfItsForward) {
  ReferenceBackend reference;
  int checked = 0;
  const std::vector<OperationCase> all = GetParam() == "bce_with_logits"
                                             ? bce_gradients()
                                             : cases::operation_named(GetParam()).cases();
  for (const OperationCase& each : all) {
    if (!each.forward || !is_small(each)) continue;
    EXPECT_EQ(check_gradient(each, reference), "");
    ++checked;
  }
  EXPECT_GE(checked, 5);
}

std::vector<std::string> differentiable() {
  std::vector<std::string> names{"bce_with_logits"};
  for (const cases::Operation& operation : cases::operations()) {
    if (operation.name.find("_backward") != std::string::npos) names.push_back(operation.name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Each, ReferenceGradient, ::testing::ValuesIn(differentiable()),
                         [](const ::testing::TestParamInfo<std::string>& parameter) {
                           return parameter.param;
                         });

// ---- Operations whose gradient is another operation ---------------------------------------------

OperationCase unary(const Dims& x, const Dims& y, cases::Call call) {
  OperationCase each{x.to_string() + " to " + y.to_string(), {}, std::move(call)};
  return each.input("x", x).output("y", y);
}

void expect_dual(const OperationCase& forward, cases::Call backward) {
  ReferenceBackend reference;
  EXPECT_EQ(check_gradient(cases::backward_case(forward, {"dx"}, std::move(backward)), reference),
            "");
}

TEST(ReferenceDual, OfSumIsExpand) {
  expect_dual(unary({3, 7, 5}, {3, 1, 5},
                    [](Backend& b, const BoundOperands& o) { b.sum(o["x"], 0.3, o["y"]); }),
              [](Backend& b, const BoundOperands& o) { b.expand(o["dy"], 0.3, o["dx"]); });
}

TEST(ReferenceDual, OfExpandIsSum) {
  expect_dual(unary({1, 7, 1}, {3, 7, 5},
                    [](Backend& b, const BoundOperands& o) { b.expand(o["x"], 0.3, o["y"]); }),
              [](Backend& b, const BoundOperands& o) { b.sum(o["dy"], 0.3, o["dx"]); });
}

TEST(ReferenceDual, OfScaleIsScale) {
  expect_dual(unary({3, 7}, {3, 7},
                    [](Backend& b, const BoundOperands& o) { b.scale(o["x"], -2.5, o["y"]); }),
              [](Backend& b, const BoundOperands& o) { b.scale(o["dy"], -2.5, o["dx"]); });
}

TEST(ReferenceDual, OfSliceIsPlaceIntoZeros) {
  expect_dual(unary({3, 7, 5}, {3, 2, 5},
                    [](Backend& b, const BoundOperands& o) { b.slice(o["x"], 1, 4, o["y"]); }),
              [](Backend& b, const BoundOperands& o) {
                b.fill(o["dx"], 0.0);
                b.place(o["dy"], 1, 4, o["dx"]);
              });
}

TEST(ReferenceDual, OfPlaceIsSlice) {
  expect_dual(unary({3, 2, 5}, {3, 7, 5},
                    [](Backend& b, const BoundOperands& o) {
                      b.fill(o["y"], 1.0);
                      b.place(o["x"], 1, 4, o["y"]);
                    }),
              [](Backend& b, const BoundOperands& o) { b.slice(o["dy"], 1, 4, o["dx"]); });
}

TEST(ReferenceDual, OfPermuteIsTheInversePermutation) {
  expect_dual(unary({3, 7, 5}, {5, 3, 7},
                    [](Backend& b, const BoundOperands& o) {
                      b.permute(o["x"], {2, 0, 1}, o["y"]);
                    }),
              [](Backend& b, const BoundOperands& o) {
                b.permute(o["dy"], {1, 2, 0}, o["dx"]);
              });
}

TEST(ReferenceDual, OfAddIsTheCotangent) {
  OperationCase forward = unary(
      {3, 7}, {3, 7}, [](Backend& b, const BoundOperands& o) { b.add(o["x"], o["b"], o["y"]); });
  forward.input("b", {7});
  expect_dual(forward, [](Backend& b, const BoundOperands& o) { b.copy(o["dy"], o["dx"]); });
}

TEST(ReferenceDual, OfMultiplyIsMultiplyByTheOther) {
  OperationCase forward = unary({3, 7}, {3, 7}, [](Backend& b, const BoundOperands& o) {
    b.multiply(o["x"], o["b"], o["y"]);
  });
  forward.input("b", {7});
  expect_dual(forward,
              [](Backend& b, const BoundOperands& o) { b.multiply(o["dy"], o["b"], o["dx"]); });
}

TEST(ReferenceDual, OfDropoutIsDropoutWithTheSameKey) {
  for (const bool channel : {false, true}) {
    const DropoutSpec spec{0.4, channel, {11, 2, 3}};
    expect_dual(
        unary({3, 7, 5}, {3, 7, 5},
              [=](Backend& b, const BoundOperands& o) { b.dropout(spec, {}, o["x"], o["y"]); }),
        [=](Backend& b, const BoundOperands& o) { b.dropout(spec, {}, o["dy"], o["dx"]); });
  }
}

// ---- A planted wrong gradient must fail ---------------------------------------------------------

class WrongWeightGradient : public ReferenceBackend {
 public:
  void linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) override {
    ReferenceBackend::linear_backward_weight(x, dy, dweight, dbias);
    scale(dweight, 1.0 + 1e-5, dweight);
  }
};

TEST(PlantedGradientError, OfOneInAHundredThousandIsSeen) {
  const OperationCase first = cases::linear_backward_weight_cases().front();
  ReferenceBackend right;
  EXPECT_EQ(check_gradient(first, right), "");
  WrongWeightGradient wrong;
  EXPECT_NE(check_gradient(first, wrong).find("dweight is off by"), std::string::npos);
}

}  // namespace
}  // namespace cardiograd
