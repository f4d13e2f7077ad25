// Cases of fill, copy, cast, accumulate, scale, add, multiply, slice, place and permute.
#include <limits>

#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

constexpr DType all_dtypes[] = {DType::f32, DType::f64, DType::bf16,
                                DType::i16, DType::i32, DType::u8};

std::vector<Dims> plain_shapes() {
  return {{}, {1}, {7}, {0}, {3, 0, 5}, {1, 1, 1}, {3, 17, 12}, {2, 5, 7, 3}, {1031}, {70001}};
}

// Small whole numbers are exact in every dtype.
Operand typed(std::string name, Role role, DType dtype, Dims dims) {
  return {std::move(name), role, dtype, dims, whole(0, 100), true};
}

struct Broadcast {
  Dims a;
  Dims b;
  Dims y;
};

std::vector<Broadcast> broadcasts() {
  return {
      {{7}, {7}, {7}},
      {{}, {}, {}},
      {{3, 17, 12}, {3, 17, 12}, {3, 17, 12}},
      {{3, 17, 12}, {12}, {3, 17, 12}},
      {{33}, {5, 7, 33}, {5, 7, 33}},
      {{3, 17, 12}, {3, 1, 12}, {3, 17, 12}},
      {{3, 17, 12}, {3, 17, 1}, {3, 17, 12}},
      {{3, 17, 12}, {1, 17, 1}, {3, 17, 12}},
      {{3, 1, 12}, {1, 17, 1}, {3, 17, 12}},
      {{3, 17, 1}, {12}, {3, 17, 12}},
      {{3, 17, 12}, {}, {3, 17, 12}},
      {{1}, {5, 9}, {5, 9}},
      {{4, 1, 6, 1, 2}, {5, 1, 3, 1}, {4, 5, 6, 3, 2}},
      {{2, 1, 3, 1, 2, 5}, {1, 4, 1, 3, 1, 5}, {2, 4, 3, 3, 2, 5}},
      {{0, 12}, {12}, {0, 12}},
      {{3, 0}, {3, 1}, {3, 0}},
      {{64, 257}, {257}, {64, 257}},
  };
}

using Binary = void (Backend::*)(ConstView, ConstView, View);

std::vector<OperationCase> binary_cases(Binary operation) {
  std::vector<OperationCase> cases;
  for (const Broadcast& shape : broadcasts()) {
    OperationCase each{shape.a.to_string() + " with " + shape.b.to_string(),
                       {},
                       [=](Backend& backend, const BoundOperands& o) {
                         (backend.*operation)(o["a"], o["b"], o["y"]);
                       }};
    cases.push_back(each.input("a", shape.a).input("b", shape.b).output("y", shape.y));
  }
  for (const Dims& other : {Dims{12}, Dims{3, 17, 12}}) {
    OperationCase first{
        "y is a, b " + other.to_string(), {}, [=](Backend& backend, const BoundOperands& o) {
          (backend.*operation)(o["a"], o["b"], o["a"]);
        }};
    cases.push_back(first.in_out("a", {3, 17, 12}).input("b", other));
    OperationCase second{
        "y is b, a " + other.to_string(), {}, [=](Backend& backend, const BoundOperands& o) {
          (backend.*operation)(o["a"], o["b"], o["b"]);
        }};
    cases.push_back(second.input("a", other).in_out("b", {3, 17, 12}));
  }
  return cases;
}

struct Part {
  Dims whole;
  Dims part;
  int axis = 0;
  std::int64_t start = 0;
};

std::vector<Part> parts() {
  return {
      {{3, 17, 12}, {3, 17, 5}, 2, 3},
      {{3, 17, 12}, {3, 17, 5}, -1, 7},
      {{3, 17, 12}, {3, 4, 12}, 1, 13},
      {{3, 17, 12}, {1, 17, 12}, 0, 2},
      {{3, 17, 12}, {3, 17, 12}, 1, 0},
      {{3, 17, 12}, {3, 0, 12}, 1, 17},
      {{9}, {1}, 0, 8},
      {{0, 4}, {0, 2}, 1, 1},
      {{2, 3, 4, 5, 6}, {2, 3, 2, 5, 6}, 2, 1},
      {{5, 129}, {5, 64}, 1, 65},
  };
}

}  // namespace

std::vector<OperationCase> fill_cases() {
  std::vector<OperationCase> cases;
  for (const DType dtype : all_dtypes) {
    for (const Dims& shape : plain_shapes()) {
      OperationCase each{
          std::string(name_of(dtype)) + " " + shape.to_string(),
          {},
          [](Backend& backend, const BoundOperands& o) { backend.fill(o["y"], 3.0); }};
      cases.push_back(each.add(typed("y", Role::output, dtype, shape)));
    }
  }
  OperationCase infinite{"minus infinity", {}, [](Backend& backend, const BoundOperands& o) {
                           backend.fill(o["y"], -std::numeric_limits<double>::infinity());
                         }};
  cases.push_back(infinite.output("y", {19}));
  return cases;
}

std::vector<OperationCase> copy_cases() {
  const Call call = [](Backend& backend, const BoundOperands& o) { backend.copy(o["x"], o["y"]); };
  std::vector<OperationCase> cases;
  for (const DType dtype : all_dtypes) {
    for (const Dims& shape : plain_shapes()) {
      OperationCase each{std::string(name_of(dtype)) + " " + shape.to_string(), {}, call};
      cases.push_back(each.add(typed("x", Role::input, dtype, shape))
                          .add(typed("y", Role::output, dtype, {shape.numel()})));
    }
  }
  return cases;
}

std::vector<OperationCase> cast_cases() {
  const Call call = [](Backend& backend, const BoundOperands& o) { backend.cast(o["x"], o["y"]); };
  std::vector<OperationCase> cases;
  for (const DType from : all_dtypes) {
    for (const DType to : all_dtypes) {
      for (const Dims& shape : {Dims{3, 17, 12}, Dims{1}, Dims{0}, Dims{}}) {
        OperationCase each{std::string(name_of(from)) + " to " + std::string(name_of(to)) + " " +
                               shape.to_string(),
                           {},
                           call};
        cases.push_back(each.add(typed("x", Role::input, from, shape))
                            .add(typed("y", Role::output, to, shape)));
      }
    }
  }
  // Halves go to the even neighbour, signs and the ends of the range survive.
  const std::vector<double> halves{0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 3.49, -3.51, 32767.0, -32768.0};
  for (const DType from : {DType::f32, DType::f64}) {
    for (const DType to : {DType::i16, DType::i32}) {
      OperationCase each{
          "rounding " + std::string(name_of(from)) + " to " + std::string(name_of(to)), {}, call};
      cases.push_back(each.add({"x", Role::input, from, {37}, listed(halves), true})
                          .add({"y", Role::output, to, {37}, nullptr, true}));
    }
  }
  // bf16 keeps 8 bits: ties (257, 259) go to even, and NaN and infinities stay.
  const std::vector<double> narrow{257.0,
                                   259.0,
                                   258.5,
                                   -257.0,
                                   1e-40,
                                   3.0e38,
                                   std::numeric_limits<double>::infinity(),
                                   std::numeric_limits<double>::quiet_NaN()};
  for (const DType from : {DType::f32, DType::f64}) {
    OperationCase each{"rounding " + std::string(name_of(from)) + " to bf16", {}, call};
    cases.push_back(each.add({"x", Role::input, from, {24}, listed(narrow), true})
                        .add({"y", Role::output, DType::bf16, {24}, nullptr, true}));
  }
  return cases;
}

std::vector<OperationCase> accumulate_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& shape : plain_shapes()) {
    OperationCase each{shape.to_string(), {}, [](Backend& backend, const BoundOperands& o) {
                         backend.accumulate(o["x"], o["y"]);
                       }};
    cases.push_back(each.input("x", shape).in_out("y", shape));
  }
  return cases;
}

std::vector<OperationCase> scale_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& shape : plain_shapes()) {
    OperationCase each{shape.to_string(), {}, [](Backend& backend, const BoundOperands& o) {
                         backend.scale(o["x"], -0.375, o["y"]);
                       }};
    cases.push_back(each.input("x", shape).output("y", shape));
    OperationCase in_place{
        shape.to_string() + " in place", {}, [](Backend& backend, const BoundOperands& o) {
          backend.scale(o["x"], 1.0 / 3.0, o["x"]);
        }};
    cases.push_back(in_place.in_out("x", shape));
  }
  return cases;
}

std::vector<OperationCase> add_cases() { return binary_cases(&Backend::add); }

std::vector<OperationCase> multiply_cases() { return binary_cases(&Backend::multiply); }

std::vector<OperationCase> slice_cases() {
  std::vector<OperationCase> cases;
  for (const DType dtype : all_dtypes) {
    for (const Part& part : parts()) {
      OperationCase each{std::string(name_of(dtype)) + " " + part.part.to_string() + " of " +
                             part.whole.to_string() + " axis " + std::to_string(part.axis),
                         {},
                         [=](Backend& backend, const BoundOperands& o) {
                           backend.slice(o["x"], part.axis, part.start, o["y"]);
                         }};
      cases.push_back(each.add(typed("x", Role::input, dtype, part.whole))
                          .add(typed("y", Role::output, dtype, part.part)));
    }
  }
  return cases;
}

std::vector<OperationCase> place_cases() {
  std::vector<OperationCase> cases;
  for (const DType dtype : all_dtypes) {
    for (const Part& part : parts()) {
      OperationCase each{std::string(name_of(dtype)) + " " + part.part.to_string() + " in " +
                             part.whole.to_string() + " axis " + std::to_string(part.axis),
                         {},
                         [=](Backend& backend, const BoundOperands& o) {
                           backend.place(o["x"], part.axis, part.start, o["y"]);
                         }};
      cases.push_back(each.add(typed("x", Role::input, dtype, part.part))
                          .add(typed("y", Role::in_out, dtype, part.whole)));
    }
  }
  return cases;
}

std::vector<OperationCase> permute_cases() {
  struct Permutation {
    Dims x;
    std::vector<int> axes;
  };
  const std::vector<Permutation> permutations{
      {{3, 17, 12}, {0, 2, 1}},
      {{3, 17, 12}, {2, 1, 0}},
      {{3, 17, 12}, {1, 2, 0}},
      {{3, 17, 12}, {0, 1, 2}},
      {{33, 65}, {1, 0}},
      {{7}, {0}},
      {{}, {}},
      {{3, 0, 5}, {2, 0, 1}},
      {{16, 12, 7}, {2, 1, 0}},
      {{2, 3, 4, 5, 2, 3}, {5, 0, 3, 1, 4, 2}},
      {{1, 9, 1}, {2, 0, 1}},
  };
  std::vector<OperationCase> cases;
  for (const DType dtype : all_dtypes) {
    for (const Permutation& permutation : permutations) {
      Dims y;
      std::string axes;
      for (const int axis : permutation.axes) {
        y.push_back(permutation.x[axis]);
        axes += ' ';
        axes += std::to_string(axis);
      }
      OperationCase each{
          std::string(name_of(dtype)) + " " + permutation.x.to_string() + " axes" + axes,
          {},
          [axes = permutation.axes](Backend& backend, const BoundOperands& o) {
            backend.permute(o["x"], axes, o["y"]);
          }};
      cases.push_back(each.add(typed("x", Role::input, dtype, permutation.x))
                          .add(typed("y", Role::output, dtype, y)));
    }
  }
  return cases;
}

}  // namespace cardiograd::cases
