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

// What follows the normalisation in the same pass.
struct Fusion {
  bool residual = false;
  bool relu = false;

  BatchNormSpec spec() const { return {eps, 0.1, relu}; }
  std::string name() const {
    return std::string(residual ? " + residual" : "") + (relu ? " + relu" : "");
  }
};

struct Shaped {
  Dims shape;
  Fusion fusion;
};

std::vector<Shaped> batch_norms() {
  std::vector<Shaped> all;
  for (const Dims& shape : batch_norm_shapes()) all.push_back({shape, {}});
  for (const Dims& shape : {Dims{3, 17, 12}, Dims{0, 12}, Dims{1, 12}, Dims{2, 31, 17},
                            Dims{9, 48, 64}, Dims{5, 0}, Dims{260, 3}, Dims{7, 1}}) {
    all.push_back({shape, {false, true}});
    all.push_back({shape, {true, false}});
    all.push_back({shape, {true, true}});
  }
  all.push_back({{4, 1100}, {true, true}});
  return all;
}

// Far enough from what BatchNorm gives that no sum is near ReLU's kink.
Values residuals() {
  return [](std::int64_t count, std::uint64_t seed) {
    std::vector<double> values = uniform(-1.0, 1.0)(count, seed);
    for (double& value : values) value = static_cast<float>(value < 0.0 ? value - 4 : value + 4);
    return values;
  };
}

OperationCase training_case(const Shaped& shaped, const std::string& kind = "",
                            Values values = uniform()) {
  const auto& [shape, fusion] = shaped;
  OperationCase each{
      shape.to_string() + fusion.name() + kind, {}, [=](Backend& backend, const BoundOperands& o) {
        backend.batch_norm_training_forward(fusion.spec(), o["x"], o["gamma"], o["beta"],
                                            o.optional("residual"), o["running_mean"],
                                            o["running_var"], o["y"], o["mean"], o["inv_std"]);
      }};
  const Dims channels{shape[-1]};
  if (fusion.residual) each.input("residual", shape, residuals());
  return each.input("x", shape, std::move(values))
      .input("gamma", channels, uniform(0.5, 1.5))
      .input("beta", channels)
      .in_out("running_mean", channels)
      .statistic()
      .in_out("running_var", channels, uniform(0.5, 2.0))
      .statistic()
      .output("y", shape)
      .output("mean", channels)
      .statistic()
      .output("inv_std", channels)
      .statistic();
}

OperationCase inference_case(const Shaped& shaped) {
  const auto& [shape, fusion] = shaped;
  OperationCase each{
      shape.to_string() + fusion.name(), {}, [=](Backend& backend, const BoundOperands& o) {
        backend.batch_norm_inference_forward(fusion.spec(), o["x"], o["gamma"], o["beta"],
                                             o.optional("residual"), o["running_mean"],
                                             o["running_var"], o["y"]);
      }};
  const Dims channels{shape[-1]};
  if (fusion.residual) each.input("residual", shape, residuals());
  return each.input("x", shape)
      .input("gamma", channels, uniform(0.5, 1.5))
      .input("beta", channels)
      .input("running_mean", channels)
      .statistic()
      .input("running_var", channels, uniform(0.5, 2.0))
      .statistic()
      .output("y", shape);
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
      .statistic()
      .output("inv_std", rows)
      .statistic();
}

}  // namespace

std::vector<OperationCase> batch_norm_training_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Shaped& each : batch_norms()) cases.push_back(training_case(each));
  // A mean far above the deviation: E[x^2] - E[x]^2 in float32 would lose the variance.
  cases.push_back(training_case({{8, 125, 12}, {}}, " around 100", uniform(99.5, 100.5)));
  return cases;
}

std::vector<OperationCase> batch_norm_training_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Shaped& each : batch_norms()) {
    cases.push_back(backward_case(
        training_case(each), {"dx", "dresidual", "dgamma", "dbeta"},
        [spec = each.fusion.spec()](Backend& backend, const BoundOperands& o) {
          const View y = spec.relu ? o["y"] : View{};
          backend.batch_norm_training_backward(spec, o["x"], o["gamma"], o["mean"], o["inv_std"], y,
                                               o["dy"], o["dx"], o.optional("dresidual"),
                                               o["dgamma"], o["dbeta"]);
        }));
  }
  return cases;
}

std::vector<OperationCase> batch_norm_inference_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Shaped& each : batch_norms()) cases.push_back(inference_case(each));
  return cases;
}

std::vector<OperationCase> batch_norm_inference_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Shaped& each : batch_norms()) {
    cases.push_back(backward_case(
        inference_case(each), {"dx", "dresidual", "dgamma", "dbeta"},
        [spec = each.fusion.spec()](Backend& backend, const BoundOperands& o) {
          const View y = spec.relu ? o["y"] : View{};
          backend.batch_norm_inference_backward(spec, o["x"], o["gamma"], o["running_mean"],
                                                o["running_var"], y, o["dy"], o["dx"],
                                                o.optional("dresidual"), o["dgamma"], o["dbeta"]);
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
