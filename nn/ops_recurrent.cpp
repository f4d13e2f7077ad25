// The recurrent operations.
#include "nn/flop_meter.h"
#include "nn/ops.h"
#include "nn/tape.h"

namespace cardiograd {

namespace {

Tensor like(const Tensor& x, const Dims& dims) {
  return Tensor::empty(x.backend(), dims, x.dtype());
}

// Multiply-adds of one time step of one record, for weights [4H, columns].
void count_steps(const Tensor& x, const Tensor& weight) {
  FlopMeter::count_multiply_adds(x.size(0) * x.size(1) * weight.size(0), weight.size(1));
}

struct LstmOp {
  static constexpr std::string_view name = "lstm";
  LstmSpec spec;
  Tensor x, weight_ih, weight_hh, saved;
  void backward(const Tensor& dy, Gradients& gradients) {
    // The weights' gradients come with dx in one kernel; what nobody wants goes to a scratch.
    const Dims bias{weight_ih.size(0)};
    const auto target = [&](int input, const Dims& dims) {
      return gradients.wanted(input) ? gradients.target(input) : like(dy, dims);
    };
    const Tensor dweight_ih = target(1, weight_ih.dims());
    const Tensor dweight_hh = target(2, weight_hh.dims());
    const Tensor dbias_ih = target(3, bias);
    const Tensor dbias_hh = target(4, bias);
    for (int product = 0; product < 2; ++product) {  // for the weights, and back in time and to x
      if (product == 0 || gradients.wanted(0)) count_steps(x, weight_ih);
      count_steps(x, weight_hh);
    }
    dy.backend()->lstm_backward(spec, x.view(), weight_ih.view(), weight_hh.view(), saved.view(),
                                dy.view(), gradients.target_if_wanted(0), dweight_ih.view(),
                                dweight_hh.view(), dbias_ih.view(), dbias_hh.view());
  }
};

}  // namespace

Tensor lstm(const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh,
            const Tensor& bias_ih, const Tensor& bias_hh, const LstmSpec& spec) {
  CG_CHECK(x.dims().rank() == 3, "lstm needs [batch, time, channels], got " + x.dims().to_string());
  CG_CHECK(weight_ih.dims().rank() == 2 && weight_ih.size(1) == x.size(2) &&
               weight_hh.dims().rank() == 2 && weight_hh.size(0) == 4 * weight_hh.size(1),
           "lstm: weights of shapes " + weight_ih.dims().to_string() + " and " +
               weight_hh.dims().to_string() + " do not fit an input of shape " +
               x.dims().to_string());
  const std::int64_t batch = x.size(0);
  const std::int64_t length = x.size(1);
  const std::int64_t units = weight_hh.size(1);
  Tensor y = like(x, spec.last_step ? Dims{batch, units} : Dims{batch, length, units});
  const std::vector<Tensor> inputs{x, weight_ih, weight_hh, bias_ih, bias_hh};
  const bool recorded = needs_record(inputs);
  const Tensor saved =
      recorded ? like(x, {x.backend()->lstm_saved_size(spec, x.view(), units)}) : Tensor();
  count_steps(x, weight_ih);
  count_steps(x, weight_hh);
  x.backend()->lstm_forward(spec, x.view(), weight_ih.view(), weight_hh.view(), bias_ih.view(),
                            bias_hh.view(), y.view(), recorded ? saved.view() : View{});
  record(y, inputs, LstmOp{spec, x, weight_ih, weight_hh, saved});
  return y;
}

}  // namespace cardiograd
