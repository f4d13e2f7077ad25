// Cases of BatchNorm and LayerNorm.
#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

constexpr double eps = 1e-5;

std::vector<Dims> batch_norm_shapes() {
  return {{3, 17, 12}, {5, 3},  {2, 1},      {0, 12},     {7, 1},     {2, 3, 4, 5},
          {64, 33},    {1, 12}, {2, 31, 17}, {9, 48, 64}, {2001, 16}, {3, 2, 33}};
}

std::vector<Dims> layer_norm_shapes() {
  return {{3, 17, 12}, {5, 3}, {7}, {0, 12}, {4, 1}, {2, 3, 4, 5}, {6, 768}, {1, 33}, {2, 5, 129}};
}

OperationCase training_case(const Dims& shape, const std::string& kind, Values values) {
  OperationCase each{shape.to_string() + kind, {}, [](Backend& backend, const BoundOperands& o) {
                       backend.batch_norm_training_forward(o["x"], o["gamma"], o["beta"], eps, 0.1,
                                                           o["running_mean"], o["running_var"],
                                                           o["y"], o["mean"], o["inv_std"]);
                     }};
  const Dims channels{shape[-1]};
  return each.input("x", shape, std::move(values))
      .input("gamma", channels, uniform(0.5, 1.5))
      .input("beta", channels)
      .in_out("running_mean", channels)
      .in_out("running_var", channels, uniform(0.5, 2.0))
      .output("y", shape)
      .output("mean", channels)
      .output("inv_std", channels);
}

std::vector<OperationCase> all_training_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& shape : batch_norm_shapes()) {
    cases.push_back(training_case(shape, "", uniform()));
  }
  return cases;
}

std::vector<OperationCase> all_inference_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& shape : batch_norm_shapes()) {
    OperationCase each{shape.to_string(), {}, [](Backend& backend, const BoundOperands& o) {
                         backend.batch_norm_inference_forward(o["x"], o["gamma"], o["beta"],
                                                              o["running_mean"], o["running_var"],
                                                              eps, o["y"]);
                       }};
    const Dims channels{shape[-1]};
    cases.push_back(each.input("x", shape)
                        .input("gamma", channels, uniform(0.5, 1.5))
                        .input("beta", channels)
                        .input("running_mean", channels)
                        .input("running_var", channels, uniform(0.5, 2.0))
                        .output("y", shape));
  }
  return cases;
}

OperationCase layer_norm_case(const Dims& shape, const std::string& kind, Values values) {
  OperationCase each{shape.to_string() + kind, {}, [](Backend& backend, const BoundOperands& o) {
                       backend.layer_norm_forward(o["x"], o["gamma"], o["beta"], eps, o["y"],
                                                  o["mean"], o["inv_std"]);
                     }};
  Dims rows;
  for (int axis = 0; axis + 1 < shape.rank(); ++axis) rows.push_back(shape[axis]);
  const Dims channels{shape[-1]};
  return each.input("x", shape, std::move(values))
      .input("gamma", channels, uniform(0.5, 1.5))
      .input("beta", channels)
      .output("y", shape)
      .output("mean", rows)
      .output("inv_std", rows);
}

}  // namespace

std::vector<OperationCase> batch_norm_training_forward_cases() {
  std::vector<OperationCase> cases = all_training_cases();
  // A mean far above the deviation: E[x^2] - E[x]^2 in float32 would lose the variance.
  cases.push_back(training_case({8, 125, 12}, " around 100", uniform(99.5, 100.5)));
  return cases;
}

std::vector<OperationCase> batch_norm_training_backward_cases() {
  std::vector<OperationCase> cases;
  for (const OperationCase& forward : all_training_cases()) {
    cases.push_back(backward_case(
        forward, {"dx", "dgamma", "dbeta"}, [](Backend& backend, const BoundOperands& o) {
          backend.batch_norm_training_backward(o["x"], o["gamma"], o["mean"], o["inv_std"], o["dy"],
                                               o["dx"], o["dgamma"], o["dbeta"]);
        }));
  }
  return cases;
}

std::vector<OperationCase> batch_norm_inference_forward_cases() { return all_inference_cases(); }

std::vector<OperationCase> batch_norm_inference_backward_cases() {
  std::vector<OperationCase> cases;
  for (const OperationCase& forward : all_inference_cases()) {
    cases.push_back(backward_case(
        forward, {"dx", "dgamma", "dbeta"}, [](Backend& backend, const BoundOperands& o) {
          backend.batch_norm_inference_backward(o["x"], o["gamma"], o["running_mean"],
                                                o["running_var"], eps, o["dy"], o["dx"],
                                                o["dgamma"], o["dbeta"]);
        }));
  }
  return cases;
}

std::vector<OperationCase> layer_norm_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& shape : layer_norm_shapes()) {
    cases.push_back(layer_norm_case(shape, "", uniform()));
  }
  cases.push_back(layer_norm_case({5, 128}, " around 100", uniform(99.5, 100.5)));
  return cases;
}

std::vector<OperationCase> layer_norm_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Dims& shape : layer_norm_shapes()) {
    cases.push_back(backward_case(layer_norm_case(shape, "", uniform()), {"dx", "dgamma", "dbeta"},
                                  [](Backend& backend, const BoundOperands& o) {
                                    backend.layer_norm_backward(o["x"], o["gamma"], o["mean"],
                                                                o["inv_std"], o["dy"], o["dx"],
                                                                o["dgamma"], o["dbeta"]);
                                  }));
  }
  return cases;
}

}  // namespace cardiograd::cases
