// BatchNorm over rows of [..., C] (Ioffe & Szegedy 2015), training and inference, and its
// gradients, each with a residual and ReLU in the same pass.
//
// Bytes an element in f32: training forward 12 (x twice, y), inference forward 8, a residual 4
// more; backward 20 in training (x and dy twice, dx) and 16 in inference, with ReLU 8 more: y is
// read, and what ReLU leaves of dy is written, in the first pass, and read instead of dy in the
// second. 3 to 10 FLOPs. Bound: memory. Statistics are float for any storage, and sums of x and x^2
// less the column's first value: one pass, and no cancellation where the mean is far greater than
// the deviation. columns.h says how they are summed.
#include "kernels/cuda/columns.h"
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/rows.h"

namespace cardiograd {
namespace cuda {
namespace {

CG_DEVICE float inverse_deviation(float variance, float eps) {
  return 1.0F / math::sqrt(variance + eps);
}

// The statistics that normalise a channel: training's own, or the running ones.
struct Statistics {
  const float* mean;
  const float* inv_std;  // null: from var
  const float* var = nullptr;
  float eps = 0.0F;

  CG_DEVICE float inverse(std::int64_t column) const {
    return inv_std != nullptr ? inv_std[column] : inverse_deviation(var[column], eps);
  }
};

// ---- Forward ------------------------------------------------------------------------------------

// The sums of x - shift and of its square.
template <class T, int width>
struct MomentTerms {
  using Total = Wide<T>;
  static constexpr int n = width;
  struct Fixed {
    float shift[n];
  };
  const T* x;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) fixed.shift[j] = to_float(x[column + j]);
    return fixed;
  }
  CG_DEVICE void add(const Fixed& fixed, std::int64_t, std::int64_t at, Total (&a)[n],
                     Total (&b)[n]) const {
    const Pack<T, n> value = load_pack<n>(x + at);
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      const auto d = static_cast<Total>(to_float(value[j]) - fixed.shift[j]);
      a[j] += d;
      b[j] += d * d;
    }
  }
};

// From the sums: what the map needs and backward keeps, and the running statistics.
template <class T>
struct MomentFinish {
  const T* x;
  float* running_mean;
  float* running_var;
  float* mean;
  float* inv_std;
  std::int64_t rows;
  float eps;
  float momentum;

  CG_DEVICE void operator()(std::int64_t column, Wide<T> a, Wide<T> b) const {
    const auto count = static_cast<Wide<T>>(rows > 0 ? rows : 1);
    const Wide<T> offset = a / count;
    const Wide<T> spread = b / count - offset * offset;
    const auto variance = static_cast<float>(spread < 0 ? 0 : spread);
    float centre = 0.0F;
    if (rows > 0) {
      centre = static_cast<float>(static_cast<Wide<T>>(to_float(x[column])) + offset);
    }
    mean[column] = centre;
    inv_std[column] = inverse_deviation(variance, eps);
    if (rows == 0) return;
    const float unbiased =
        variance * static_cast<float>(count / (rows > 1 ? count - 1 : static_cast<Wide<T>>(1)));
    running_mean[column] = updated(running_mean[column], centre);
    running_var[column] = updated(running_var[column], unbiased);
  }
  CG_DEVICE float updated(float running, float batch) const {
    return (1.0F - momentum) * running + momentum * batch;
  }
};

// y = relu((x - mean) inv_std gamma + beta + residual).
template <class T, int width>
struct Normalise {
  static constexpr int n = width;
  struct Fixed {
    float mean[n];
    float factor[n];
    float beta[n];
  };
  const T* x;
  const T* gamma;
  const T* beta;
  const T* residual;  // may be null
  Statistics statistics;
  bool relu;
  T* y;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      fixed.mean[j] = statistics.mean[column + j];
      fixed.factor[j] = to_float(gamma[column + j]) * statistics.inverse(column + j);
      fixed.beta[j] = to_float(beta[column + j]);
    }
    return fixed;
  }
  CG_DEVICE void apply(const Fixed& fixed, std::int64_t at) const {
    const Pack<T, n> value = load_pack<n>(x + at);
    Pack<T, n> added{};
    if (residual != nullptr) added = load_pack<n>(residual + at);
    Pack<T, n> result;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      float sum = (to_float(value[j]) - fixed.mean[j]) * fixed.factor[j] + fixed.beta[j];
      sum += to_float(added[j]);
      result[j] = from_float<T>(relu && sum <= 0.0F ? 0.0F : sum);
    }
    store_pack(y + at, result);
  }
};

// ---- Backward -----------------------------------------------------------------------------------

// The gradient of the normalised x (and residual): dy, or what ReLU leaves of it.
template <class T>
struct GradientSource {
  const T* dy;
  const T* y;  // null without ReLU
  T* left;     // where the first pass writes it for the second; null: dy will do

  const T* for_second_pass() const { return left != nullptr ? left : dy; }
};

// The sums of the gradient g and of g (x - mean).
template <class T, int width>
struct GradientTerms {
  using Total = Wide<T>;
  static constexpr int n = width;
  struct Fixed {
    float mean[n];
  };
  const T* x;
  const float* mean;
  GradientSource<T> source;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) fixed.mean[j] = mean[column + j];
    return fixed;
  }
  CG_DEVICE void add(const Fixed& fixed, std::int64_t, std::int64_t at, Total (&a)[n],
                     Total (&b)[n]) const {
    const Pack<T, n> value = load_pack<n>(x + at);
    Pack<T, n> gradient = load_pack<n>(source.dy + at);
    if (source.y != nullptr) {
      const Pack<T, n> gate = load_pack<n>(source.y + at);
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        if (to_float(gate[j]) <= 0.0F) gradient[j] = from_float<T>(0.0F);
      }
    }
    if (source.left != nullptr) store_pack(source.left + at, gradient);
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      const auto g = static_cast<Total>(to_float(gradient[j]));
      a[j] += g;
      b[j] += g * (static_cast<Total>(to_float(value[j])) - static_cast<Total>(fixed.mean[j]));
    }
  }
};

// dbeta and dgamma, and what dx takes from the sums: the mean of g, and the slope of xhat; these
// are absent in inference, whose statistics are constants.
template <class T>
struct GradientFinish {
  Statistics statistics;
  T* dgamma;
  T* dbeta;
  Wide<T>* g_mean;
  Wide<T>* slope;
  std::int64_t rows;

  CG_DEVICE void operator()(std::int64_t column, Wide<T> a, Wide<T> b) const {
    const auto count = static_cast<Wide<T>>(rows > 0 ? rows : 1);
    const auto inverse = static_cast<Wide<T>>(statistics.inverse(column));
    dbeta[column] = from_float<T>(static_cast<float>(a));
    dgamma[column] = from_float<T>(static_cast<float>(b * inverse));
    if (g_mean == nullptr) return;
    g_mean[column] = a / count;
    slope[column] = inverse * inverse * b / count;
  }
};

// dx = gamma inv_std ((g - mean of g) - (x - mean) slope). dx may be g's memory.
template <class T, int width>
struct TrainingGradient {
  static constexpr int n = width;
  using Number = Wide<T>;
  struct Fixed {
    float mean[n];
    float factor[n];
    Number g_mean[n];
    Number slope[n];
  };
  const T* x;
  const T* g;
  const T* gamma;
  Statistics statistics;
  const Number* g_mean;
  const Number* slope;
  T* dx;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      fixed.mean[j] = statistics.mean[column + j];
      fixed.factor[j] = to_float(gamma[column + j]) * statistics.inverse(column + j);
      fixed.g_mean[j] = g_mean[column + j];
      fixed.slope[j] = slope[column + j];
    }
    return fixed;
  }
  CG_DEVICE void apply(const Fixed& fixed, std::int64_t at) const {
    const Pack<T, n> value = load_pack<n>(x + at);
    const Pack<T, n> gradient = load_pack<n>(g + at);
    Pack<T, n> result;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      const Number centred =
          static_cast<Number>(to_float(value[j])) - static_cast<Number>(fixed.mean[j]);
      const Number deviation = static_cast<Number>(to_float(gradient[j])) - fixed.g_mean[j];
      result[j] =
          from_float<T>(fixed.factor[j] * static_cast<float>(deviation - centred * fixed.slope[j]));
    }
    store_pack(dx + at, result);
  }
};

// dx = gamma / sqrt(var + eps) g: the statistics are constants. dx may be g's memory.
template <class T, int width>
struct InferenceGradient {
  static constexpr int n = width;
  struct Fixed {
    float factor[n];
  };
  const T* g;
  const T* gamma;
  Statistics statistics;
  T* dx;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      fixed.factor[j] = to_float(gamma[column + j]) * statistics.inverse(column + j);
    }
    return fixed;
  }
  CG_DEVICE void apply(const Fixed& fixed, std::int64_t at) const {
    const Pack<T, n> gradient = load_pack<n>(g + at);
    Pack<T, n> result;
    CG_UNROLL
    for (int j = 0; j < n; ++j) result[j] = from_float<T>(fixed.factor[j] * to_float(gradient[j]));
    store_pack(dx + at, result);
  }
};

// The operands of both forms of backward, apart from their statistics.
struct BackwardOperands {
  ConstView x, gamma, y, dy;
  View dx, dresidual, dgamma, dbeta;

  template <class T>
  GradientSource<T> source(bool relu) const {
    T* left = elements<T>(dresidual);
    if (left == nullptr && relu) left = elements<T>(dx);
    return {elements<T>(dy), relu ? elements<T>(y) : nullptr, left};
  }
};

// The shape of x, and the checks that all calls share: every view in `same` has it, `optional`
// where it is there; vectors are [C], of x's dtype or (statistics) f32.
Columns check_batch_norm(const ConstView& x, std::initializer_list<ConstView> same,
                         const ConstView& optional, std::initializer_list<ConstView> vectors,
                         std::initializer_list<ConstView> statistics) {
  CG_CHECK(x.dims.rank() >= 1, "batch_norm needs a channel axis, got a scalar");
  const std::int64_t channels = x.dims[-1];
  for (const ConstView& view : same) require_same_shape("batch_norm", x.dims, view.dims);
  if (optional.present()) require_same_shape("batch_norm", x.dims, optional.dims);
  for (const ConstView& view : vectors) require_vector("batch_norm", view.dims, channels);
  for (const ConstView& view : statistics) require_vector("batch_norm", view.dims, channels);
  require_dtype("batch_norm's statistics", DType::f32, statistics);
  return {channels == 0 ? 0 : x.numel() / channels, channels};
}

Columns check_backward(const BackwardOperands& o, bool relu, const ConstView& mean,
                       const ConstView& deviation) {
  return check_batch_norm(o.x, {o.dy, o.dx, relu ? o.y : o.dy}, o.dresidual,
                          {o.gamma, o.dgamma, o.dbeta}, {mean, deviation});
}

// run(element, n): n elements of T's storage, where all operands of backward lie so.
template <class Run>
void dispatch_backward(const BackwardOperands& o, bool relu, const Run& run) {
  const ConstView gate = relu ? o.y : ConstView{};
  dispatch_storage("batch_norm", {o.x, o.gamma, gate, o.dy, o.dx, o.dresidual, o.dgamma, o.dbeta},
                   [&](auto element) {
                     using T = decltype(element);
                     dispatch_pack<T>(o.x.dims[-1],
                                      {o.x.data, gate.data, o.dy.data, o.dx.data, o.dresidual.data},
                                      [&](auto n) { run(element, n); });
                   });
}

void normalise(const Device& device, const BatchNormSpec& spec, const ConstView& x,
               const ConstView& gamma, const ConstView& beta, const ConstView& residual,
               const Statistics& statistics, const View& y, const Columns& shape) {
  dispatch_storage("batch_norm", {x, gamma, beta, residual, y}, [&](auto element) {
    using T = decltype(element);
    dispatch_pack<T>(shape.channels, {x.data, residual.data, y.data}, [&](auto n) {
      column_map(device,
                 Normalise<T, n()>{elements<T>(x), elements<T>(gamma), elements<T>(beta),
                                   elements<T>(residual), statistics, spec.relu, elements<T>(y)},
                 shape);
    });
  });
}

}  // namespace
}  // namespace cuda

void CudaBackend::batch_norm_training_forward(const BatchNormSpec& spec, ConstView x,
                                              ConstView gamma, ConstView beta, ConstView residual,
                                              View running_mean, View running_var, View y,
                                              View mean, View inv_std) {
  const cuda::Columns shape = cuda::check_batch_norm(x, {y}, residual, {gamma, beta},
                                                     {running_mean, running_var, mean, inv_std});
  if (shape.channels == 0) return;
  cuda::dispatch_storage("batch_norm", {x, gamma, beta, residual, y}, [&](auto element) {
    using T = decltype(element);
    const auto* from = cuda::elements<T>(x);
    const cuda::MomentFinish<T> finish{from,
                                       cuda::elements<float>(running_mean),
                                       cuda::elements<float>(running_var),
                                       cuda::elements<float>(mean),
                                       cuda::elements<float>(inv_std),
                                       shape.rows,
                                       static_cast<float>(spec.eps),
                                       static_cast<float>(spec.momentum)};
    cuda::dispatch_pack<T>(shape.channels, {x.data}, [&](auto n) {
      cuda::column_sums(device_, blocks_, cuda::MomentTerms<T, n()>{from}, finish, shape);
    });
  });
  const cuda::Statistics statistics{cuda::elements<float>(mean), cuda::elements<float>(inv_std)};
  cuda::normalise(device_, spec, x, gamma, beta, residual, statistics, y, shape);
}

void CudaBackend::batch_norm_training_backward(const BatchNormSpec& spec, ConstView x,
                                               ConstView gamma, ConstView mean, ConstView inv_std,
                                               ConstView y, ConstView dy, View dx, View dresidual,
                                               View dgamma, View dbeta) {
  const cuda::BackwardOperands o{x, gamma, y, dy, dx, dresidual, dgamma, dbeta};
  const cuda::Columns shape = cuda::check_backward(o, spec.relu, mean, inv_std);
  if (shape.channels == 0) return;
  const cuda::Statistics statistics{cuda::elements<float>(mean), cuda::elements<float>(inv_std)};
  cuda::dispatch_backward(o, spec.relu, [&](auto element, auto n) {
    using T = decltype(element);
    const Scratch<cuda::Wide<T>> coefficients(blocks_, 2 * shape.channels);
    auto* g_mean = coefficients.data();
    auto* slope = g_mean + shape.channels;
    const cuda::GradientSource<T> source = o.source<T>(spec.relu);
    const cuda::GradientTerms<T, n()> terms{cuda::elements<T>(x), statistics.mean, source};
    const cuda::GradientFinish<T> finish{
        statistics, cuda::elements<T>(dgamma), cuda::elements<T>(dbeta), g_mean, slope, shape.rows};
    cuda::column_sums(device_, blocks_, terms, finish, shape);
    const cuda::TrainingGradient<T, n()> gradient{
        terms.x, source.for_second_pass(), cuda::elements<T>(gamma), statistics, g_mean,
        slope,   cuda::elements<T>(dx)};
    cuda::column_map(device_, gradient, shape);
  });
}

void CudaBackend::batch_norm_inference_forward(const BatchNormSpec& spec, ConstView x,
                                               ConstView gamma, ConstView beta, ConstView residual,
                                               ConstView running_mean, ConstView running_var,
                                               View y) {
  const cuda::Columns shape =
      cuda::check_batch_norm(x, {y}, residual, {gamma, beta}, {running_mean, running_var});
  if (shape.channels == 0) return;
  const cuda::Statistics statistics{cuda::elements<float>(running_mean), nullptr,
                                    cuda::elements<float>(running_var),
                                    static_cast<float>(spec.eps)};
  cuda::normalise(device_, spec, x, gamma, beta, residual, statistics, y, shape);
}

void CudaBackend::batch_norm_inference_backward(const BatchNormSpec& spec, ConstView x,
                                                ConstView gamma, ConstView running_mean,
                                                ConstView running_var, ConstView y, ConstView dy,
                                                View dx, View dresidual, View dgamma, View dbeta) {
  const cuda::BackwardOperands o{x, gamma, y, dy, dx, dresidual, dgamma, dbeta};
  const cuda::Columns shape = cuda::check_backward(o, spec.relu, running_mean, running_var);
  if (shape.channels == 0) return;
  const cuda::Statistics statistics{cuda::elements<float>(running_mean), nullptr,
                                    cuda::elements<float>(running_var),
                                    static_cast<float>(spec.eps)};
  cuda::dispatch_backward(o, spec.relu, [&](auto element, auto n) {
    using T = decltype(element);
    const cuda::GradientSource<T> source = o.source<T>(spec.relu);
    const cuda::GradientTerms<T, n()> terms{cuda::elements<T>(x), statistics.mean, source};
    const cuda::GradientFinish<T> finish{
        statistics, cuda::elements<T>(dgamma), cuda::elements<T>(dbeta), nullptr, nullptr,
        shape.rows};
    cuda::column_sums(device_, blocks_, terms, finish, shape);
    const cuda::InferenceGradient<T, n()> gradient{
        source.for_second_pass(), cuda::elements<T>(gamma), statistics, cuda::elements<T>(dx)};
    cuda::column_map(device_, gradient, shape);
  });
}

}  // namespace cardiograd
