// Cases of the LSTM.
#include "kernels/lstm_saved.h"
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
                             o["bias_hh"], o["y"], o.optional("saved"));
      }};
  // Some gates saturate, and most do not.
  each.input("x", x, uniform(-2.0, 2.0)).input("weight_ih", {4 * units, inputs});
  each.input("weight_hh", {4 * units, units}, uniform(-0.5, 0.5));
  each.input("bias_ih", {4 * units}).input("bias_hh", {4 * units});
  each.output("y", spec.last_step ? Dims{batch, units} : Dims{batch, length, units});
  if (saves) each.output("saved", {lstm_parts_size(batch, length, units)});
  return each;
}

// A block of the backend that knows whether anybody wrote behind its end.
class GuardedBlock {
 public:
  GuardedBlock(Backend& backend, DType dtype, std::int64_t count)
      : backend_(backend), view_{nullptr, dtype, {count}}, guard_(64, 0x5A) {
    view_.data = backend.allocate(view_.bytes() + guard_.size());
    backend.copy_from_host(end(), guard_.data(), guard_.size());
  }
  ~GuardedBlock() { backend_.deallocate(view_.data, view_.bytes() + guard_.size()); }
  GuardedBlock(const GuardedBlock&) = delete;
  GuardedBlock& operator=(const GuardedBlock&) = delete;

  const View& view() const { return view_; }
  bool is_intact() const {
    std::vector<unsigned char> now(guard_.size());
    backend_.synchronize();
    backend_.copy_to_host(now.data(), end(), now.size());
    return now == guard_;
  }

 private:
  void* end() const { return static_cast<char*>(view_.data) + view_.bytes(); }

  Backend& backend_;
  View view_;
  std::vector<unsigned char> guard_;
};

OperationCase lstm_training_case(const Lstm& shape, const LstmSpec& spec, bool has_dx) {
  OperationCase each = lstm_case(shape, spec, false);
  each.name += has_dx ? ", trained" : ", trained without dx";
  each.input("dy", each.at("y").dims);
  for (const char* name : {"x", "weight_ih", "weight_hh", "bias_ih", "bias_hh"}) {
    if (has_dx || name != std::string("x")) {
      each.output(std::string("d") + name, each.at(name).dims);
    }
  }
  each.call = [spec](Backend& backend, const BoundOperands& o) {
    const View x = o["x"];
    const GuardedBlock saved(backend, x.dtype,
                             backend.lstm_saved_size(spec, x, o["weight_hh"].dims[1]));
    backend.lstm_forward(spec, x, o["weight_ih"], o["weight_hh"], o["bias_ih"], o["bias_hh"],
                         o["y"], saved.view());
    backend.lstm_backward(spec, x, o["weight_ih"], o["weight_hh"], saved.view(), o["dy"],
                          o.optional("dx"), o["dweight_ih"], o["dweight_hh"], o["dbias_ih"],
                          o["dbias_hh"]);
    CG_CHECK(saved.is_intact(), "something was written behind what lstm saves");
  };
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

// Forward, then backward, with as much memory between them as the backend asks for, in its order.
std::vector<OperationCase> lstm_training_cases() {
  std::vector<OperationCase> cases;
  for (const bool has_dx : {true, false}) {
    for (const bool reverse : {false, true}) {
      for (const bool last_step : {false, true}) {
        for (const Lstm& shape : std::vector<Lstm>{{3, 7, 5, 4},
                                                   {1, 1, 1, 1},
                                                   {1, 6, 3, 8},
                                                   {2, 1, 3, 5},  // one step
                                                   {2, 3, 0, 3},  // no inputs
                                                   {0, 6, 3, 4},  // empty batch
                                                   {2, 0, 3, 4},  // empty sequences
                                                   {4, 5, 8, 16},
                                                   {5, 9, 12, 17}}) {
          cases.push_back(lstm_training_case(shape, {reverse, last_step}, has_dx));
        }
      }
    }
  }
  return cases;
}

std::vector<OperationCase> lstm_backward_cases() {
  std::vector<OperationCase> cases;
  const std::vector<std::string> weights{"dweight_ih", "dweight_hh", "dbias_ih", "dbias_hh"};
  for (const OperationCase& forward : all_lstm_cases()) {
    const LstmSpec spec{forward.name.find("reverse") != std::string::npos,
                        forward.name.find("last step") != std::string::npos};
    const Call call = [spec](Backend& backend, const BoundOperands& o) {
      backend.lstm_backward(spec, o["x"], o["weight_ih"], o["weight_hh"], o["saved"], o["dy"],
                            o.optional("dx"), o["dweight_ih"], o["dweight_hh"], o["dbias_ih"],
                            o["dbias_hh"]);
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
