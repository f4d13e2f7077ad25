// BatchNorm over rows of [..., C] (Ioffe & Szegedy 2015), training and inference, and its
// gradients.
//
// Bytes an element in f32: training forward 12 (x twice, y), inference forward 8, backward 20 in
// training (x and dy twice, dx) and 16 in inference; 3 to 10 FLOPs. Bound: memory. Statistics are
// sums of x and x^2 less the column's first value: one pass, and no cancellation where the mean is
// far greater than the deviation. columns.h says how they are summed.
#include "kernels/cuda/columns.h"
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/rows.h"

namespace cardiograd {
namespace cuda {
namespace {

CG_DEVICE float inverse_deviation(float variance, float eps) {
  return 1.0F / math::sqrt(variance + eps);
}

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

// From the sums: what backward keeps, the running statistics, and mean and variance for the map.
template <class T>
struct MomentFinish {
  const T* x;
  T* running_mean;
  T* running_var;
  T* mean;
  T* inv_std;
  float* batch_mean;
  float* batch_var;
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
    mean[column] = from_float<T>(centre);
    inv_std[column] = from_float<T>(inverse_deviation(variance, eps));
    batch_mean[column] = centre;
    batch_var[column] = variance;
    if (rows == 0) return;
    const float unbiased =
        variance * static_cast<float>(count / (rows > 1 ? count - 1 : static_cast<Wide<T>>(1)));
    running_mean[column] = updated(running_mean[column], centre);
    running_var[column] = updated(running_var[column], unbiased);
  }
  CG_DEVICE T updated(T running, float batch) const {
    return from_float<T>((1.0F - momentum) * to_float(running) + momentum * batch);
  }
};

// y = (x - mean) / sqrt(var + eps) gamma + beta. The statistics are the storage's in inference, and
// float in training.
template <class T, class Statistic, int width>
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
  const Statistic* mean;
  const Statistic* var;
  float eps;
  T* y;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      fixed.mean[j] = to_float(mean[column + j]);
      fixed.factor[j] =
          to_float(gamma[column + j]) * inverse_deviation(to_float(var[column + j]), eps);
      fixed.beta[j] = to_float(beta[column + j]);
    }
    return fixed;
  }
  CG_DEVICE void apply(const Fixed& fixed, std::int64_t at) const {
    const Pack<T, n> value = load_pack<n>(x + at);
    Pack<T, n> result;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      result[j] =
          from_float<T>((to_float(value[j]) - fixed.mean[j]) * fixed.factor[j] + fixed.beta[j]);
    }
    store_pack(y + at, result);
  }
};

// ---- Backward -----------------------------------------------------------------------------------

// The sums of dy and of dy (x - mean).
template <class T, int width>
struct GradientTerms {
  using Total = Wide<T>;
  static constexpr int n = width;
  struct Fixed {
    T mean[n];  // in its storage: fewer registers
  };
  const T* x;
  const T* dy;
  const T* mean;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) fixed.mean[j] = mean[column + j];
    return fixed;
  }
  CG_DEVICE void add(const Fixed& fixed, std::int64_t, std::int64_t at, Total (&a)[n],
                     Total (&b)[n]) const {
    const Pack<T, n> value = load_pack<n>(x + at);
    const Pack<T, n> gradient = load_pack<n>(dy + at);
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      const auto g = static_cast<Total>(to_float(gradient[j]));
      a[j] += g;
      b[j] += g * (static_cast<Total>(to_float(value[j])) -
                   static_cast<Total>(to_float(fixed.mean[j])));
    }
  }
};

// dbeta and dgamma, and what dx takes from the sums: the mean of dy, and the slope of xhat.
template <class T>
struct TrainingFinish {
  const T* inv_std;
  T* dgamma;
  T* dbeta;
  Wide<T>* dy_mean;
  Wide<T>* slope;
  std::int64_t rows;

  CG_DEVICE void operator()(std::int64_t column, Wide<T> a, Wide<T> b) const {
    const auto count = static_cast<Wide<T>>(rows > 0 ? rows : 1);
    const auto inverse = static_cast<Wide<T>>(to_float(inv_std[column]));
    dbeta[column] = from_float<T>(static_cast<float>(a));
    dgamma[column] = from_float<T>(static_cast<float>(b * inverse));
    dy_mean[column] = a / count;
    slope[column] = inverse * inverse * b / count;
  }
};

template <class T>
struct InferenceFinish {
  const T* running_var;
  T* dgamma;
  T* dbeta;
  float eps;

  CG_DEVICE void operator()(std::int64_t column, Wide<T> a, Wide<T> b) const {
    const float inverse = inverse_deviation(to_float(running_var[column]), eps);
    dbeta[column] = from_float<T>(static_cast<float>(a));
    dgamma[column] = from_float<T>(static_cast<float>(b) * inverse);
  }
};

// dx = gamma inv_std ((dy - mean of dy) - (x - mean) slope).
template <class T, int width>
struct TrainingGradient {
  static constexpr int n = width;
  using Number = Wide<T>;
  struct Fixed {
    float mean[n];
    float factor[n];
    Number dy_mean[n];
    Number slope[n];
  };
  const T* x;
  const T* dy;
  const T* gamma;
  const T* mean;
  const T* inv_std;
  const Number* dy_mean;
  const Number* slope;
  T* dx;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      fixed.mean[j] = to_float(mean[column + j]);
      fixed.factor[j] = to_float(gamma[column + j]) * to_float(inv_std[column + j]);
      fixed.dy_mean[j] = dy_mean[column + j];
      fixed.slope[j] = slope[column + j];
    }
    return fixed;
  }
  CG_DEVICE void apply(const Fixed& fixed, std::int64_t at) const {
    const Pack<T, n> value = load_pack<n>(x + at);
    const Pack<T, n> gradient = load_pack<n>(dy + at);
    Pack<T, n> result;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      const Number centred =
          static_cast<Number>(to_float(value[j])) - static_cast<Number>(fixed.mean[j]);
      const Number g = static_cast<Number>(to_float(gradient[j])) - fixed.dy_mean[j];
      result[j] = from_float<T>(fixed.factor[j] * static_cast<float>(g - centred * fixed.slope[j]));
    }
    store_pack(dx + at, result);
  }
};

// dx = gamma / sqrt(var + eps) dy: the statistics are constants.
template <class T, int width>
struct InferenceGradient {
  static constexpr int n = width;
  struct Fixed {
    float factor[n];
  };
  const T* dy;
  const T* gamma;
  const T* running_var;
  float eps;
  T* dx;

  CG_DEVICE Fixed fixed(std::int64_t column) const {
    Fixed fixed;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      fixed.factor[j] =
          to_float(gamma[column + j]) * inverse_deviation(to_float(running_var[column + j]), eps);
    }
    return fixed;
  }
  CG_DEVICE void apply(const Fixed& fixed, std::int64_t at) const {
    const Pack<T, n> gradient = load_pack<n>(dy + at);
    Pack<T, n> result;
    CG_UNROLL
    for (int j = 0; j < n; ++j) result[j] = from_float<T>(fixed.factor[j] * to_float(gradient[j]));
    store_pack(dx + at, result);
  }
};

// The shape of x, and the checks that all calls share: every vector in `vectors` is [C].
Columns check_batch_norm(const ConstView& x, std::initializer_list<ConstView> same,
                         std::initializer_list<ConstView> vectors) {
  CG_CHECK(x.dims.rank() >= 1, "batch_norm needs a channel axis, got a scalar");
  const std::int64_t channels = x.dims[-1];
  for (const ConstView& view : same) require_same_shape("batch_norm", x.dims, view.dims);
  for (const ConstView& view : vectors) require_vector("batch_norm", view.dims, channels);
  return {channels == 0 ? 0 : x.numel() / channels, channels};
}

}  // namespace
}  // namespace cuda

void CudaBackend::batch_norm_training_forward(ConstView x, ConstView gamma, ConstView beta,
                                              double eps, double momentum, View running_mean,
                                              View running_var, View y, View mean, View inv_std) {
  const cuda::Columns shape =
      cuda::check_batch_norm(x, {y}, {gamma, beta, running_mean, running_var, mean, inv_std});
  if (shape.channels == 0) return;
  cuda::dispatch_storage(
      "batch_norm", {x, gamma, beta, running_mean, running_var, y, mean, inv_std},
      [&](auto element) {
        using T = decltype(element);
        const Scratch<float> statistics(blocks_, 2 * shape.channels);
        float* batch_mean = statistics.data();
        float* batch_var = batch_mean + shape.channels;
        const auto* from = cuda::elements<T>(x);
        const cuda::MomentFinish<T> finish{from,
                                           cuda::elements<T>(running_mean),
                                           cuda::elements<T>(running_var),
                                           cuda::elements<T>(mean),
                                           cuda::elements<T>(inv_std),
                                           batch_mean,
                                           batch_var,
                                           shape.rows,
                                           static_cast<float>(eps),
                                           static_cast<float>(momentum)};
        cuda::dispatch_pack<T>(shape.channels, {x.data, y.data}, [&](auto n) {
          cuda::column_sums(device_, blocks_, cuda::MomentTerms<T, n()>{from}, finish, shape);
          const cuda::Normalise<T, float, n()> normalise{
              from,      cuda::elements<T>(gamma), cuda::elements<T>(beta), batch_mean,
              batch_var, static_cast<float>(eps),  cuda::elements<T>(y)};
          cuda::column_map(device_, normalise, shape);
        });
      });
}

void CudaBackend::batch_norm_training_backward(ConstView x, ConstView gamma, ConstView mean,
                                               ConstView inv_std, ConstView dy, View dx,
                                               View dgamma, View dbeta) {
  const cuda::Columns shape =
      cuda::check_batch_norm(x, {dy, dx}, {gamma, mean, inv_std, dgamma, dbeta});
  if (shape.channels == 0) return;
  cuda::dispatch_storage(
      "batch_norm", {x, gamma, mean, inv_std, dy, dx, dgamma, dbeta}, [&](auto element) {
        using T = decltype(element);
        const Scratch<cuda::Wide<T>> coefficients(blocks_, 2 * shape.channels);
        auto* dy_mean = coefficients.data();
        auto* slope = dy_mean + shape.channels;
        const auto* values = cuda::elements<T>(x);
        const auto* gradients = cuda::elements<T>(dy);
        const auto* centre = cuda::elements<T>(mean);
        const auto* inverse = cuda::elements<T>(inv_std);
        const cuda::TrainingFinish<T> finish{
            inverse,   cuda::elements<T>(dgamma), cuda::elements<T>(dbeta), dy_mean, slope,
            shape.rows};
        cuda::dispatch_pack<T>(shape.channels, {x.data, dy.data, dx.data}, [&](auto n) {
          cuda::column_sums(device_, blocks_,
                            cuda::GradientTerms<T, n()>{values, gradients, centre}, finish, shape);
          const cuda::TrainingGradient<T, n()> gradient{
              values,  gradients, cuda::elements<T>(gamma), centre, inverse,
              dy_mean, slope,     cuda::elements<T>(dx)};
          cuda::column_map(device_, gradient, shape);
        });
      });
}

void CudaBackend::batch_norm_inference_forward(ConstView x, ConstView gamma, ConstView beta,
                                               ConstView running_mean, ConstView running_var,
                                               double eps, View y) {
  const cuda::Columns shape =
      cuda::check_batch_norm(x, {y}, {gamma, beta, running_mean, running_var});
  if (shape.channels == 0) return;
  cuda::dispatch_storage(
      "batch_norm", {x, gamma, beta, running_mean, running_var, y}, [&](auto element) {
        using T = decltype(element);
        cuda::dispatch_pack<T>(shape.channels, {x.data, y.data}, [&](auto n) {
          const cuda::Normalise<T, T, n()> normalise{cuda::elements<T>(x),
                                                     cuda::elements<T>(gamma),
                                                     cuda::elements<T>(beta),
                                                     cuda::elements<T>(running_mean),
                                                     cuda::elements<T>(running_var),
                                                     static_cast<float>(eps),
                                                     cuda::elements<T>(y)};
          cuda::column_map(device_, normalise, shape);
        });
      });
}

void CudaBackend::batch_norm_inference_backward(ConstView x, ConstView gamma,
                                                ConstView running_mean, ConstView running_var,
                                                double eps, ConstView dy, View dx, View dgamma,
                                                View dbeta) {
  const cuda::Columns shape =
      cuda::check_batch_norm(x, {dy, dx}, {gamma, running_mean, running_var, dgamma, dbeta});
  if (shape.channels == 0) return;
  cuda::dispatch_storage(
      "batch_norm", {x, gamma, running_mean, running_var, dy, dx, dgamma, dbeta},
      [&](auto element) {
        using T = decltype(element);
        const auto* gradients = cuda::elements<T>(dy);
        const auto* variance = cuda::elements<T>(running_var);
        const auto epsilon = static_cast<float>(eps);
        const cuda::InferenceFinish<T> finish{variance, cuda::elements<T>(dgamma),
                                              cuda::elements<T>(dbeta), epsilon};
        cuda::dispatch_pack<T>(shape.channels, {x.data, dy.data, dx.data}, [&](auto n) {
          cuda::column_sums(device_, blocks_,
                            cuda::GradientTerms<T, n()>{cuda::elements<T>(x), gradients,
                                                        cuda::elements<T>(running_mean)},
                            finish, shape);
          const cuda::InferenceGradient<T, n()> gradient{gradients, cuda::elements<T>(gamma),
                                                         variance, epsilon, cuda::elements<T>(dx)};
          cuda::column_map(device_, gradient, shape);
        });
      });
}

}  // namespace cardiograd
