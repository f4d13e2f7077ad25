// Cases of the LSTM.
#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

namespace {

struct Lstm {
  std::int64_t batch = 1;
  std::int64_t length = 1;
  std::int64_t inputs = 1;
  std::int64_t units = 1;
};

OperationCase lstm_case(const Lstm& shape, const LstmSpec& spec, bool saves = true) {
  const auto [batch, length, inputs, units] = shape;
  const Dims x{batch, length, inputs};
  OperationCase each{
      x.to_string() + " to " + std::to_string(units) + (spec.reverse ? " in reverse" : "") +
          (spec.last_step ? ", last step" : "") + (saves ? "" : ", nothing saved"),
      {},
      [spec](Backend& backend, const BoundOperands& o) {
        backend.lstm_forward(spec, o["x"], o["weight_ih"], o["weight_hh"], o["bias_ih"],
                             o["bias_hh"], o["y"], o.optional("gates"), o.optional("cells"));
      }};
  // Some gates saturate, and most do not.
  each.input("x", x, uniform(-2.0, 2.0)).input("weight_ih", {4 * units, inputs});
  each.input("weight_hh", {4 * units, units}, uniform(-0.5, 0.5));
  each.input("bias_ih", {4 * units}).input("bias_hh", {4 * units});
  each.output("y", spec.last_step ? Dims{batch, units} : Dims{batch, length, units});
  if (saves)
    each.output("gates", {length, batch, 4, units}).output("cells", {length, batch, units});
  return each;
}

std::vector<OperationCase> all_lstm_cases() {
  std::vector<OperationCase> cases;
  for (const bool reverse : {false, true}) {
    for (const bool last_step : {false, true}) {
      for (const Lstm& shape : std::vector<Lstm>{{3, 7, 5, 4},
                                                 {1, 1, 1, 1},
                                                 {2, 1, 3, 5},  // one step
                                                 {5, 4, 0, 3},  // no inputs
                                                 {0, 6, 3, 4},  // empty batch
                                                 {2, 0, 3, 4},  // empty sequences
                                                 {2, 3, 4, 0},  // no units
                                                 {7, 9, 17, 17},
                                                 {17, 5, 12, 33},
                                                 {37, 40, 12, 16},  // chunks and tiles
                                                 {1, 300, 3, 7},
                                                 {18, 33, 12, 64},
                                                 {3, 4, 5, 70},
                                                 {3, 3, 4, 130}}) {
        cases.push_back(lstm_case(shape, {reverse, last_step}));
      }
    }
  }
  return cases;
}

}  // namespace

std::vector<OperationCase> lstm_forward_cases() {
  std::vector<OperationCase> cases = all_lstm_cases();
  cases.push_back(lstm_case({5, 6, 3, 18}, {}, false));
  cases.push_back(lstm_case({5, 6, 3, 18}, {.last_step = true}, false));
  return cases;
}

std::vector<OperationCase> lstm_backward_cases() {
  std::vector<OperationCase> cases;
  const std::vector<std::string> weights{"dweight_ih", "dweight_hh", "dbias_ih", "dbias_hh"};
  for (const OperationCase& forward : all_lstm_cases()) {
    const LstmSpec spec{forward.name.find("reverse") != std::string::npos,
                        forward.name.find("last step") != std::string::npos};
    const Call call = [spec](Backend& backend, const BoundOperands& o) {
      backend.lstm_backward(spec, o["x"], o["weight_ih"], o["weight_hh"], o["gates"], o["cells"],
                            o["dy"], o.optional("dx"), o["dweight_ih"], o["dweight_hh"],
                            o["dbias_ih"], o["dbias_hh"]);
    };
    std::vector<std::string> all = weights;
    all.push_back("dx");
    cases.push_back(backward_case(forward, all, call));
    cases.push_back(backward_case(forward, weights, call));
    cases.back().name += " without dx";
  }
  return cases;
}

}  // namespace cardiograd::cases
