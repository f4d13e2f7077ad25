// Cases of linear, conv1d and conv1d_relu_maxpool.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

struct Linear {
  Dims x;
  std::int64_t outputs = 0;
};

OperationCase linear_case(const Linear& shape, bool bias) {
  Dims y = shape.x;
  y[-1] = shape.outputs;
  OperationCase each{
      shape.x.to_string() + " to " + std::to_string(shape.outputs) + (bias ? " with bias" : ""),
      {},
      [](Backend& backend, const BoundOperands& o) {
        backend.linear_forward(o["x"], o["weight"], o.optional("bias"), o["y"]);
      }};
  each.input("x", shape.x).input("weight", {shape.outputs, shape.x[-1]});
  if (bias) each.input("bias", {shape.outputs});
  return each.output("y", y);
}

std::vector<OperationCase> all_linear_cases() {
  std::vector<OperationCase> cases;
  for (const bool bias : {false, true}) {
    for (const Linear& shape : std::vector<Linear>{{{3, 17}, 5},
                                                   {{1, 1}, 1},
                                                   {{7}, 3},
                                                   {{0, 12}, 16},
                                                   {{2, 5, 33}, 48},
                                                   {{2, 3, 2, 12}, 17},
                                                   {{1, 64}, 71},
                                                   {{65, 31}, 33},
                                                   {{3, 768}, 128},
                                                   {{2, 5856}, 12},
                                                   {{600, 12}, 20},
                                                   {{70, 24}, 72},
                                                   // Enough tiles of 128 rows for a whole GPU.
                                                   {{300, 3}, 2816},
                                                   {{2, 768}, 1408}}) {
      cases.push_back(linear_case(shape, bias));
    }
  }
  return cases;
}

struct Convolution {
  std::int64_t batch = 1;
  std::int64_t length = 1;
  std::int64_t inputs = 1;
  std::int64_t outputs = 1;
  std::int64_t kernel = 1;
  Conv1dSpec spec;

  Dims x() const { return {batch, length, inputs}; }
  Dims weight() const { return {kernel, inputs / spec.groups, outputs}; }
  Dims y() const { return {batch, spec.output_length(length, kernel), outputs}; }
  std::string name(bool bias) const {
    return x().to_string() + " k" + std::to_string(kernel) + " to " + std::to_string(outputs) +
           " stride " + std::to_string(spec.stride) + " padding " + std::to_string(spec.padding) +
           " dilation " + std::to_string(spec.dilation) + " groups " + std::to_string(spec.groups) +
           (bias ? " with bias" : "");
  }
};

std::vector<Convolution> seed_layers() {
  return {{2, 1000, 12, 16, 7, {}}, {2, 497, 16, 32, 5, {}}, {2, 246, 32, 48, 3, {}}};
}

std::vector<Convolution> convolutions() {
  // batch, length, inputs, outputs, kernel, {stride, padding, dilation, groups}
  return {
      {1, 1, 1, 1, 1, {}},
      {2, 50, 1, 1, 1, {}},
      {3, 17, 3, 17, 2, {1, 1}},
      {2, 33, 17, 33, 4, {2, 1}},
      {2, 41, 33, 48, 5, {3, 2}},
      {1, 40, 48, 64, 6, {}},
      {2, 29, 64, 12, 7, {1, 3}},
      {2, 61, 12, 16, 8, {2, 0, 2}},
      {2, 30, 8, 8, 3, {1, 4, 4}},
      {2, 67, 16, 16, 9, {1, 4, 1, 4}},
      {2, 27, 6, 9, 3, {2, 1, 1, 3}},
      {2, 31, 12, 12, 5, {1, 2, 1, 12}},
      {2, 31, 12, 24, 3, {1, 1, 1, 12}},
      {2, 45, 33, 33, 7, {2, 3, 1, 33}},
      {2, 43, 16, 16, 5, {1, 6, 3, 16}},
      {2, 120, 12, 33, 39, {1, 19}},
      {2, 100, 12, 16, 39, {2, 0}},
      {1, 90, 16, 17, 39, {1, 38, 2}},
      {2, 23, 5, 6, 2, {5, 0}},    // the stride leaves inputs unread
      {2, 9, 4, 4, 9, {}},         // the kernel spans the whole length
      {2, 4, 3, 4, 3, {1, 5}},     // padding alone under some outputs
      {2, 5, 3, 4, 7, {}},         // the kernel does not fit
      {0, 20, 12, 16, 5, {1, 2}},  // empty batch
      {2, 0, 3, 4, 1, {}},         // empty sequences
      {17, 3, 12, 16, 3, {1, 1}},
      {2, 61, 16, 24, 5, {2, 2}},     // rows of whole 16-byte accesses in bf16
      {2, 61, 16, 24, 3, {1, 2, 2}},  // and with every tap a run of its own
      {2, 50, 24, 16, 4, {2, 1, 2}},
      {1, 30, 64, 72, 17, {1, 8}},  // deep enough to be cut
      {1, 17000, 1, 2, 3, {1, 1}},  // enough tiles of 128 steps for a whole GPU
  };
}

std::vector<std::pair<Convolution, bool>> all_convolutions() {
  std::vector<std::pair<Convolution, bool>> all;
  for (const Convolution& layer : seed_layers()) all.emplace_back(layer, true);
  for (const Convolution& shape : convolutions()) {
    all.emplace_back(shape, false);
    all.emplace_back(shape, true);
  }
  for (std::int64_t k = 1; k <= 39; ++k) {
    all.emplace_back(Convolution{1, k + 13, 3, 5, k, {1 + k % 3, k / 2}}, k % 2 == 0);
  }
  return all;
}

OperationCase conv1d_case(const Convolution& shape, bool bias) {
  OperationCase each{
      shape.name(bias), {}, [spec = shape.spec](Backend& backend, const BoundOperands& o) {
        backend.conv1d_forward(spec, o["x"], o["weight"], o.optional("bias"), o["y"]);
      }};
  each.input("x", shape.x()).input("weight", shape.weight());
  if (bias) each.input("bias", {shape.outputs});
  return each.output("y", shape.y());
}

// Where rounding cannot decide the winner: the window's maximum leads the runner-up, and stands off
// zero.
std::vector<bool> decided_winners(const Convolution& shape, std::int64_t pool, Backend& reference,
                                  const BoundOperands& o) {
  const Dims dims = shape.y();
  std::vector<double> convolved(static_cast<std::size_t>(dims.numel()));
  reference.conv1d_forward(shape.spec, o["x"], o["weight"], o.optional("bias"),
                           {convolved.data(), DType::f64, dims});
  double largest = 0.0;
  for (const double value : convolved) largest = std::max(largest, std::fabs(value));
  const double margin = 1e-5 * largest;
  std::vector<bool> decided;
  for (std::int64_t n = 0; n < dims[0]; ++n) {
    for (std::int64_t t = 0; t < dims[1] / pool; ++t) {
      for (std::int64_t c = 0; c < dims[2]; ++c) {
        double first = -std::numeric_limits<double>::infinity();
        double second = first;
        for (std::int64_t j = 0; j < pool; ++j) {
          const std::int64_t at = (n * dims[1] + t * pool + j) * dims[2] + c;
          const double value = convolved[static_cast<std::size_t>(at)];
          second = std::max(second, std::min(first, value));
          first = std::max(first, value);
        }
        decided.push_back(first < -margin || (first > margin && first - second > margin));
      }
    }
  }
  return decided;
}

OperationCase fused_case(const Convolution& shape, std::int64_t pool, bool bias,
                         Values biases = uniform()) {
  OperationCase each{shape.name(bias) + " pool " + std::to_string(pool),
                     {},
                     [=](Backend& backend, const BoundOperands& o) {
                       backend.conv1d_relu_maxpool_forward(shape.spec, pool, o["x"], o["weight"],
                                                           o.optional("bias"), o["y"], o["winner"]);
                     }};
  each.input("x", shape.x()).input("weight", shape.weight());
  if (bias) each.input("bias", {shape.outputs}, std::move(biases));
  Dims y = shape.y();
  y[1] /= pool;
  return each.output("y", y).add({"winner", Role::output, DType::u8, y, nullptr, true,
                                  [=](Backend& reference, const BoundOperands& o) {
                                    return decided_winners(shape, pool, reference, o);
                                  }});
}

struct Fused {
  Convolution shape;
  std::int64_t pool = 2;
  OperationCase forward;
};

std::vector<Fused> all_fused() {
  std::vector<Fused> all;
  const auto push = [&](const Convolution& shape, std::int64_t pool, bool bias) {
    all.push_back({shape, pool, fused_case(shape, pool, bias)});
  };
  for (const Convolution& layer : seed_layers()) push(layer, 2, true);
  for (const Convolution& shape : convolutions()) {
    // Outputs that see padding alone are equal: which of them wins is nobody's promise.
    if (shape.spec.padding < shape.kernel) push(shape, 2, true);
  }
  for (const std::int64_t pool : {1, 3, 4, 5, 7, 40}) {
    push({2, 41, 12, 17, 5, {1, 2}}, pool, false);
    push({1, 29, 3, 33, 4, {2, 3}}, pool, true);
    push({2, 38, 6, 6, 3, {1, 1, 1, 6}}, pool, true);
  }
  for (std::int64_t k = 1; k <= 39; ++k) push({1, k + 13, 3, 5, k, {1, k / 2}}, 2, k % 2 == 0);
  Fused dead{{2, 21, 12, 16, 3, {}}, 2, {}};
  dead.forward = fused_case(dead.shape, dead.pool, true, listed({-100.0}));
  dead.forward.name += " all dead";
  all.push_back(dead);
  return all;
}

}  // namespace

std::vector<OperationCase> linear_forward_cases() { return all_linear_cases(); }

std::vector<OperationCase> linear_backward_data_cases() {
  std::vector<OperationCase> cases;
  for (const OperationCase& forward : all_linear_cases()) {
    cases.push_back(backward_case(forward, {"dx"}, [](Backend& backend, const BoundOperands& o) {
      backend.linear_backward_data(o["dy"], o["weight"], o["dx"]);
    }));
  }
  return cases;
}

std::vector<OperationCase> linear_backward_weight_cases() {
  std::vector<OperationCase> cases;
  for (const OperationCase& forward : all_linear_cases()) {
    cases.push_back(
        backward_case(forward, {"dweight", "dbias"}, [](Backend& backend, const BoundOperands& o) {
          backend.linear_backward_weight(o["x"], o["dy"], o["dweight"], o.optional("dbias"));
        }));
  }
  return cases;
}

std::vector<OperationCase> conv1d_forward_cases() {
  std::vector<OperationCase> cases;
  for (const auto& [shape, bias] : all_convolutions()) cases.push_back(conv1d_case(shape, bias));
  return cases;
}

std::vector<OperationCase> conv1d_backward_data_cases() {
  std::vector<OperationCase> cases;
  for (const auto& [shape, bias] : all_convolutions()) {
    if (bias) continue;  // it takes no part
    cases.push_back(backward_case(conv1d_case(shape, bias), {"dx"},
                                  [spec = shape.spec](Backend& backend, const BoundOperands& o) {
                                    backend.conv1d_backward_data(spec, o["dy"], o["weight"],
                                                                 o["dx"]);
                                  }));
  }
  return cases;
}

std::vector<OperationCase> conv1d_backward_weight_cases() {
  std::vector<std::pair<Convolution, bool>> all = all_convolutions();
  all.emplace_back(Convolution{1100, 2, 1, 1, 1, {}}, true);  // more tiles than chunks
  std::vector<OperationCase> cases;
  for (const auto& [shape, bias] : all) {
    cases.push_back(backward_case(conv1d_case(shape, bias), {"dweight", "dbias"},
                                  [spec = shape.spec](Backend& backend, const BoundOperands& o) {
                                    backend.conv1d_backward_weight(
                                        spec, o["x"], o["dy"], o["dweight"], o.optional("dbias"));
                                  }));
  }
  return cases;
}

std::vector<OperationCase> conv1d_relu_maxpool_forward_cases() {
  std::vector<OperationCase> cases;
  for (const Fused& fused : all_fused()) cases.push_back(fused.forward);
  return cases;
}

std::vector<OperationCase> conv1d_relu_maxpool_backward_cases() {
  std::vector<OperationCase> cases;
  for (const Fused& fused : all_fused()) {
    const Call call = [spec = fused.shape.spec, pool = fused.pool](Backend& backend,
                                                                   const BoundOperands& o) {
      backend.conv1d_relu_maxpool_backward(spec, pool, o["x"], o["weight"], o["winner"], o["dy"],
                                           o.optional("dx"), o["dweight"], o.optional("dbias"));
    };
    cases.push_back(backward_case(fused.forward, {"dx", "dweight", "dbias"}, call));
    cases.push_back(backward_case(fused.forward, {"dweight", "dbias"}, call));
    cases.back().name += " without dx";
  }
  return cases;
}

}  // namespace cardiograd::cases
