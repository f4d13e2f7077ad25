// Cases of maximum, average and adaptive average pooling.
#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

struct Pooling {
  Dims x;
  Pool1dSpec spec;
};

std::vector<Pooling> poolings() {
  // {batch, length, channels}, {kernel, stride, padding}
  return {
      {{1, 1, 1}, {1, 1, 0}},   {{3, 17, 12}, {2, 2, 0}}, {{2, 18, 1}, {2, 2, 1}},
      {{2, 19, 3}, {3, 2, 1}},  {{2, 33, 16}, {3, 1, 1}}, {{2, 41, 17}, {5, 3, 2}},
      {{2, 23, 33}, {2, 5, 0}}, {{1, 50, 48}, {7, 1, 3}}, {{2, 31, 64}, {8, 8, 4}},
      {{2, 5, 12}, {5, 5, 0}},  {{2, 3, 12}, {5, 1, 0}},  {{0, 17, 12}, {2, 2, 0}},
      {{2, 0, 12}, {2, 2, 0}},  {{2, 3, 12}, {4, 4, 2}},  {{2, 120, 5}, {40, 7, 20}},
  };
}

std::string name_of_pooling(const Pooling& pooling) {
  return pooling.x.to_string() + " kernel " + std::to_string(pooling.spec.kernel) + " stride " +
         std::to_string(pooling.spec.stride) + " padding " + std::to_string(pooling.spec.padding);
}

Dims pooled(const Pooling& pooling) {
  return {pooling.x[0], pooling.spec.output_length(pooling.x[1]), pooling.x[2]};
}

OperationCase max_pool_case(const Pooling& pooling, const std::string& kind, Values values) {
  OperationCase each{name_of_pooling(pooling) + kind,
                     {},
                     [spec = pooling.spec](Backend& backend, const BoundOperands& o) {
                       backend.max_pool1d_forward(spec, o["x"], o["y"], o["index"]);
                     }};
  return each.input("x", pooling.x, std::move(values))
      .output("y", pooled(pooling))
      .add({"index", Role::output, DType::i32, pooled(pooling)});
}

OperationCase avg_pool_case(const Pooling& pooling) {
  OperationCase each{name_of_pooling(pooling),
                     {},
                     [spec = pooling.spec](Backend& backend, const BoundOperands& o) {
                       backend.avg_pool1d_forward(spec, o["x"], o["y"]);
                     }};
  return each.input("x", pooling.x).output("y", pooled(pooling));
}

std::vector<OperationCase> all_adaptive_cases() {
  struct Adaptive {
    Dims x;
    std::int64_t outputs = 1;
  };
  const std::vector<Adaptive> shapes{
      {{1, 1, 1}, 1},    {{3, 17, 12}, 1},  {{3, 17, 12}, 5},       {{2, 17, 3}, 17},
      {{2, 5, 16}, 12},  {{2, 33, 17}, 7},  {{0, 17, 12}, 3},       {{2, 1, 33}, 4},
      {{2, 122, 48}, 8}, {{1, 64, 64}, 16}, {{1, 70000, 1}, 65000},
  };
  // The product of the last one's lengths needs more than 32 bits.
  std::vector<OperationCase> cases;
  for (const Adaptive& shape : shapes) {
    OperationCase each{shape.x.to_string() + " to " + std::to_string(shape.outputs),
                       {},
                       [](Backend& backend, const BoundOperands& o) {
                         backend.adaptive_avg_pool1d_forward(o["x"], o["y"]);
                       }};
    cases.push_back(each.input("x", shape.x).output("y", {shape.x[0], shape.outputs, shape.x[2]}));
  }
  return cases;
}

}  // namespace

std::vector<OperationCase> max_pool1d_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Pooling& pooling : poolings()) {
    cases.push_back(max_pool_case(pooling, "", uniform()));
    // Zero padding would win here.
    cases.push_back(max_pool_case(pooling, " all below zero", uniform(-2.0, -1.0)));
  }
  return cases;
}

std::vector<OperationCase> max_pool1d_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Pooling& pooling : poolings()) {
    cases.push_back(backward_case(max_pool_case(pooling, "", uniform()), {"dx"},
                                  [spec = pooling.spec](Backend& backend, const BoundOperands& o) {
                                    backend.max_pool1d_backward(spec, o["index"], o["dy"], o["dx"]);
                                  }));
  }
  return cases;
}

std::vector<OperationCase> avg_pool1d_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Pooling& pooling : poolings()) cases.push_back(avg_pool_case(pooling));
  return cases;
}

std::vector<OperationCase> avg_pool1d_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Pooling& pooling : poolings()) {
    cases.push_back(backward_case(avg_pool_case(pooling), {"dx"},
                                  [spec = pooling.spec](Backend& backend, const BoundOperands& o) {
                                    backend.avg_pool1d_backward(spec, o["dy"], o["dx"]);
                                  }));
  }
  return cases;
}

std::vector<OperationCase> adaptive_avg_pool1d_forward_cases() { return all_adaptive_cases(); }

std::vector<OperationCase> adaptive_avg_pool1d_backward_cases() {
  std::vector<OperationCase> cases;
  for (const OperationCase& forward : all_adaptive_cases()) {
    cases.push_back(backward_case(forward, {"dx"}, [](Backend& backend, const BoundOperands& o) {
      backend.adaptive_avg_pool1d_backward(o["dy"], o["dx"]);
    }));
  }
  return cases;
}

}  // namespace cardiograd::cases
