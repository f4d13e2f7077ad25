// Activations and their gradients.
//
// Bytes: 2 operands an element forward, 3 backward; 1 to about 30 FLOPs and at most two special
// functions an element. Bound: memory. The kind is decided inside the kernel, by a branch that all
// threads take alike: one kernel serves all kinds.
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/map.h"

namespace cardiograd {
namespace cuda {
namespace {

CG_DEVICE float sigmoid(float x) { return 1.0F / (1.0F + math::exp(-x)); }

// 2 u, where GELU's tanh form is x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
CG_DEVICE float twice_gelu_argument(float x) {
  return 1.59576912F * x * (1.0F + 0.044715F * x * x);
}

// The normal distribution's cdf; erfc keeps its relative accuracy in the lower tail.
CG_DEVICE float normal_cdf(float x) { return 0.5F * math::erfc(-0.707106781F * x); }

struct Forward {
  static constexpr int inputs = 1;
  ActivationKind kind;
  float slope;

  CG_DEVICE float operator()(float x, float) const {
    switch (kind) {
      case ActivationKind::relu:
        return x <= 0.0F ? 0.0F : x;
      case ActivationKind::leaky_relu:
        return x > 0.0F ? x : slope * x;
      case ActivationKind::sigmoid:
        return sigmoid(x);
      case ActivationKind::tanh:
        return math::tanh(x);
      case ActivationKind::gelu:
        return x * normal_cdf(x);
      case ActivationKind::gelu_tanh:
        break;
    }
    return x * sigmoid(twice_gelu_argument(x));
  }
};

// Which forward operand the derivative is written in.
bool saves_output(ActivationKind kind) {
  return kind == ActivationKind::relu || kind == ActivationKind::sigmoid ||
         kind == ActivationKind::tanh;
}

// Of (x or y, dy).
struct Backward {
  static constexpr int inputs = 2;
  ActivationKind kind;
  float slope;

  CG_DEVICE float operator()(float saved, float dy) const {
    switch (kind) {
      case ActivationKind::relu:
        return saved <= 0.0F ? 0.0F : dy;
      case ActivationKind::leaky_relu:
        return saved > 0.0F ? dy : slope * dy;
      case ActivationKind::sigmoid:
        return dy * ((1.0F - saved) * saved);
      case ActivationKind::tanh:
        return dy * ((1.0F - saved) * (1.0F + saved));
      case ActivationKind::gelu: {
        const float density = 0.398942280F * math::exp(-0.5F * saved * saved);
        return dy * (normal_cdf(saved) + saved * density);
      }
      case ActivationKind::gelu_tanh:
        break;
    }
    const float s = sigmoid(twice_gelu_argument(saved));
    const float inner = 1.59576912F * (1.0F + 3.0F * 0.044715F * saved * saved);
    return dy * (s + saved * inner * (s * (1.0F - s)));
  }
};

}  // namespace
}  // namespace cuda

void CudaBackend::activation_forward(const Activation& activation, ConstView x, View y) {
  require_same_shape("activation", x.dims, y.dims);
  const cuda::Forward operation{activation.kind, static_cast<float>(activation.slope)};
  cuda::dispatch_storage("activation", {y, x}, [&](auto element) {
    using T = decltype(element);
    cuda::map<T>(device_, operation, cuda::elements<T>(x), nullptr, cuda::elements<T>(y),
                 y.numel());
  });
}

void CudaBackend::activation_backward(const Activation& activation, ConstView x, ConstView y,
                                      ConstView dy, View dx) {
  const ConstView saved = cuda::saves_output(activation.kind) ? y : x;
  require_same_shape("activation", saved.dims, dx.dims);
  require_same_shape("activation", dy.dims, dx.dims);
  const cuda::Backward operation{activation.kind, static_cast<float>(activation.slope)};
  cuda::dispatch_storage("activation", {dx, saved, dy}, [&](auto element) {
    using T = decltype(element);
    cuda::map<T>(device_, operation, cuda::elements<T>(saved), cuda::elements<T>(dy),
                 cuda::elements<T>(dx), dx.numel());
  });
}

}  // namespace cardiograd
