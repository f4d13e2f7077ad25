// Elementwise arithmetic, activations, dropout.
#include "nn/ops.h"
#include "nn/random.h"
#include "nn/tape.h"

namespace cardiograd {

namespace {

Dims broadcast(const Tensor& a, const Tensor& b) {
  const Dims& left = a.dims();
  const Dims& right = b.dims();
  Dims result;
  const int rank = std::max(left.rank(), right.rank());
  for (int axis = -rank; axis < 0; ++axis) {
    const std::int64_t l = axis < -left.rank() ? 1 : left[axis];
    const std::int64_t r = axis < -right.rank() ? 1 : right[axis];
    CG_CHECK(l == r || l == 1 || r == 1, "shapes " + left.to_string() + " and " +
                                             right.to_string() + " do not broadcast together");
    result.push_back(l == 1 ? r : l);
  }
  return result;
}

// The gradient of a broadcast operand: the sum over the axes that it was stretched on.
void give_unbroadcast(Gradients& gradients, int input, const Dims& dims, const Tensor& gradient) {
  if (dims == gradient.dims()) {
    gradients.give(input, gradient);
    return;
  }
  View target = gradients.target(input).view();
  Dims padded;
  for (int axis = dims.rank(); axis < gradient.dims().rank(); ++axis) padded.push_back(1);
  for (std::int64_t size : dims) padded.push_back(size);
  target.dims = padded;
  gradient.backend()->sum(gradient.view(), 1.0, target);
}

struct AddOp {
  static constexpr std::string_view name = "add";
  Dims a, b;
  void backward(const Tensor& dy, Gradients& gradients) {
    if (gradients.wanted(0)) give_unbroadcast(gradients, 0, a, dy);
    if (gradients.wanted(1)) give_unbroadcast(gradients, 1, b, dy);
  }
};

struct MultiplyOp {
  static constexpr std::string_view name = "multiply";
  Tensor a, b;
  void backward(const Tensor& dy, Gradients& gradients) {
    const auto one_side = [&](int input, const Tensor& self, const Tensor& other) {
      if (!gradients.wanted(input)) return;
      Tensor product = Tensor::empty(dy.backend(), dy.dims(), dy.dtype());
      dy.backend()->multiply(dy.view(), other.view(), product.view());
      give_unbroadcast(gradients, input, self.dims(), product);
    };
    one_side(0, a, b);
    one_side(1, b, a);
  }
};

struct ScaleOp {
  static constexpr std::string_view name = "scale";
  double alpha = 1.0;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->scale(dy.view(), alpha, gradients.target(0).view());
  }
};

struct CastOp {
  static constexpr std::string_view name = "cast";
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->cast(dy.view(), gradients.target(0).view());
  }
};

struct ActivationOp {
  static constexpr std::string_view name = "activation";
  Activation activation;
  Tensor x, y;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->activation_backward(activation, x.view(), y.view(), dy.view(),
                                      gradients.target(0).view());
  }
};

struct SoftmaxOp {
  static constexpr std::string_view name = "softmax";
  Tensor y;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->softmax_backward(y.view(), dy.view(), gradients.target(0).view());
  }
};

ConstView records_view(const Tensor& records) {
  return records.defined() ? ConstView(records.view()) : ConstView{};
}

struct DropoutOp {
  static constexpr std::string_view name = "dropout";
  DropoutSpec spec;
  Tensor records;
  void backward(const Tensor& dy, Gradients& gradients) {
    dy.backend()->dropout(spec, records_view(records), dy.view(), gradients.target(0).view());
  }
};

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(a.backend(), broadcast(a, b), a.dtype());
  a.backend()->add(a.view(), b.view(), y.view());
  record(y, {a, b}, AddOp{a.dims(), b.dims()});
  return y;
}

Tensor multiply(const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(a.backend(), broadcast(a, b), a.dtype());
  a.backend()->multiply(a.view(), b.view(), y.view());
  record(y, {a, b}, MultiplyOp{a, b});
  return y;
}

Tensor scale(const Tensor& x, double alpha) {
  Tensor y = Tensor::empty(x.backend(), x.dims(), x.dtype());
  x.backend()->scale(x.view(), alpha, y.view());
  record(y, {x}, ScaleOp{alpha});
  return y;
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  Tensor y = Tensor::empty(x.backend(), x.dims(), dtype);
  x.backend()->cast(x.view(), y.view());
  if (is_floating(x.dtype()) && is_floating(dtype)) record(y, {x}, CastOp{});
  return y;
}

Tensor activate(const Tensor& x, const Activation& activation) {
  Tensor y = Tensor::empty(x.backend(), x.dims(), x.dtype());
  x.backend()->activation_forward(activation, x.view(), y.view());
  record(y, {x}, ActivationOp{activation, x, y.detach()});
  return y;
}

Tensor relu(const Tensor& x) { return activate(x, {ActivationKind::relu}); }
Tensor leaky_relu(const Tensor& x, double slope) {
  return activate(x, {ActivationKind::leaky_relu, slope});
}
Tensor sigmoid(const Tensor& x) { return activate(x, {ActivationKind::sigmoid}); }
Tensor tanh(const Tensor& x) { return activate(x, {ActivationKind::tanh}); }
Tensor gelu(const Tensor& x) { return activate(x, {ActivationKind::gelu}); }

Tensor softmax(const Tensor& x) {
  Tensor y = Tensor::empty(x.backend(), x.dims(), x.dtype());
  x.backend()->softmax_forward(x.view(), y.view());
  record(y, {x}, SoftmaxOp{y.detach()});
  return y;
}

Tensor dropout(const Tensor& x, double p, bool channel) {
  const DropoutSpec spec{p, channel, RandomScope::next_key()};
  const Tensor records = RandomScope::records();
  Tensor y = Tensor::empty(x.backend(), x.dims(), x.dtype());
  x.backend()->dropout(spec, records_view(records), x.view(), y.view());
  record(y, {x}, DropoutOp{spec, records});
  return y;
}

}  // namespace cardiograd
