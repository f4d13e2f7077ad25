// Cases of sum, expand and the maximum over one axis.
#include <limits>

#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

struct Reduced {
  Dims full;
  Dims reduced;
};

std::vector<Reduced> sums() {
  return {
      {{3, 17, 12}, {3, 1, 12}},
      {{3, 17, 12}, {3, 17, 1}},
      {{3, 17, 12}, {1, 1, 12}},
      {{3, 17, 12}, {1, 1, 1}},
      {{3, 17, 12}, {1, 17, 1}},
      {{3, 17, 12}, {3, 17, 12}},
      {{7}, {1}},
      {{1}, {1}},
      {{}, {}},
      {{0, 12}, {1, 12}},
      {{3, 0}, {3, 1}},
      {{4097, 33}, {1, 33}},
      {{2, 3, 4, 5, 6}, {1, 3, 1, 5, 1}},
      {{70001}, {1}},
  };
}

std::vector<Reduced> maxima() {
  return {
      {{3, 17, 12}, {3, 1, 12}},
      {{3, 17, 12}, {3, 17, 1}},
      {{3, 17, 12}, {1, 17, 12}},
      {{7}, {1}},
      {{1}, {1}},
      {{0, 12, 5}, {0, 1, 5}},
      {{5, 1, 3}, {5, 1, 3}},
      {{2, 1031}, {2, 1}},
      {{2, 33, 48}, {2, 1, 48}},
  };
}

OperationCase max_case(const Reduced& shape, const std::string& kind, Values values) {
  OperationCase each{shape.full.to_string() + " to " + shape.reduced.to_string() + kind,
                     {},
                     [](Backend& backend, const BoundOperands& o) {
                       backend.max_forward(o["x"], o["y"], o["index"]);
                     }};
  return each.input("x", shape.full, std::move(values))
      .output("y", shape.reduced)
      .add({"index", Role::output, DType::i32, shape.reduced});
}

}  // namespace

std::vector<OperationCase> sum_cases() {
  std::vector<OperationCase> cases;
  for (const Reduced& shape : sums()) {
    for (const double alpha : {1.0, -0.125}) {
      OperationCase each{
          shape.full.to_string() + " to " + shape.reduced.to_string() + " alpha " +
              std::to_string(alpha),
          {},
          [=](Backend& backend, const BoundOperands& o) { backend.sum(o["x"], alpha, o["y"]); }};
      cases.push_back(each.input("x", shape.full, uniform(-0.5, 1.0)).output("y", shape.reduced));
    }
  }
  return cases;
}

std::vector<OperationCase> expand_cases() {
  std::vector<OperationCase> cases;
  for (const Reduced& shape : sums()) {
    OperationCase each{
        shape.reduced.to_string() + " to " + shape.full.to_string(),
        {},
        [](Backend& backend, const BoundOperands& o) { backend.expand(o["x"], -0.75, o["y"]); }};
    cases.push_back(each.input("x", shape.reduced).output("y", shape.full));
  }
  return cases;
}

std::vector<OperationCase> max_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Reduced& shape : maxima()) {
    cases.push_back(max_case(shape, "", uniform()));
    cases.push_back(max_case(shape, " with ties", whole(-2, 2)));
    cases.push_back(max_case(shape, " all below zero", uniform(-2.0, -1.0)));
  }
  const double infinity = std::numeric_limits<double>::infinity();
  cases.push_back(max_case({{4, 5}, {4, 1}}, " of minus infinity", listed({-infinity})));
  cases.push_back(
      max_case({{3, 5}, {3, 1}}, " with a NaN in each",
               listed({1.0, std::numeric_limits<double>::quiet_NaN(), infinity, 0.0, -1.0})));
  return cases;
}

std::vector<OperationCase> max_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Reduced& shape : maxima()) {
    cases.push_back(backward_case(max_case(shape, "", uniform()), {"dx"},
                                  [](Backend& backend, const BoundOperands& o) {
                                    backend.max_backward(o["dy"], o["index"], o["dx"]);
                                  }));
  }
  return cases;
}

}  // namespace cardiograd::cases
