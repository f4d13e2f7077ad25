// LayerNorm over the last axis (Ba et al. 2016), and its gradients.
//
// Bytes an element in f32: forward 8 (x is read three times, the second and third from the cache);
// backward reads x and dy twice, because the sums for gamma and beta go down the columns, and
// writes dx: 20. 10 to 20 FLOPs. Bound: memory. A warp takes a row.
#include <cmath>

#include "kernels/cuda/columns.h"
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/rows.h"

namespace cardiograd {
namespace cuda {
namespace {

template <class T>
struct LayerNormForward {
  const T* x;
  const T* gamma;
  const T* beta;
  T* y;
  float* mean;
  float* inv_std;
};

// Sums are of x less the row's first element, and squares about the mean: no cancellation where the
// mean is far greater than the deviation.
template <class T, int n>
CG_KERNEL(block_threads)
void layer_norm_kernel(LayerNormForward<T> o, Rows rows, float eps) {
  const int lane = lane_of();
  const auto width = static_cast<float>(rows.width);
  for (std::int64_t row = first_row(); row < rows.count; row += row_step()) {
    const T* from = o.x + row * rows.width;
    T* to = o.y + row * rows.width;
    const float shift = to_float(from[0]);
    float total = 0.0F;
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> pack = load_pack<n>(from + c);
      CG_UNROLL
      for (int j = 0; j < n; ++j) total += to_float(pack[j]) - shift;
    }
    const float offset = warp_sum(total) / width;  // of the mean from the shift
    float squares = 0.0F;
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> pack = load_pack<n>(from + c);
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        const float d = (to_float(pack[j]) - shift) - offset;
        squares += d * d;
      }
    }
    const float inv_std = 1.0F / math::sqrt(warp_sum(squares) / width + eps);
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> pack = load_pack<n>(from + c);
      const Pack<T, n> gamma = load_pack<n>(o.gamma + c);
      const Pack<T, n> beta = load_pack<n>(o.beta + c);
      Pack<T, n> result;
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        const float normal = ((to_float(pack[j]) - shift) - offset) * inv_std;
        result[j] = from_float<T>(normal * to_float(gamma[j]) + to_float(beta[j]));
      }
      store_pack(to + c, result);
    }
    if (lane == 0) {
      o.mean[row] = shift + offset;
      o.inv_std[row] = inv_std;
    }
  }
}

template <class T>
struct LayerNormBackward {
  const T* x;
  const T* gamma;
  const float* mean;
  const float* inv_std;
  const T* dy;
  T* dx;
};

// dx = inv_std (g - mean(g) - xhat mean(g xhat)), g = dy gamma.
template <class T, int n>
CG_KERNEL(block_threads)
void layer_norm_backward_kernel(LayerNormBackward<T> o, Rows rows) {
  using Total = Wide<T>;
  const int lane = lane_of();
  for (std::int64_t row = first_row(); row < rows.count; row += row_step()) {
    const T* x = o.x + row * rows.width;
    const T* dy = o.dy + row * rows.width;
    T* dx = o.dx + row * rows.width;
    const auto mean = static_cast<Total>(o.mean[row]);
    const auto inv_std = static_cast<Total>(o.inv_std[row]);
    Total total = 0;
    Total product = 0;
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> value = load_pack<n>(x + c);
      const Pack<T, n> gradient = load_pack<n>(dy + c);
      const Pack<T, n> gamma = load_pack<n>(o.gamma + c);
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        const Total g =
            static_cast<Total>(to_float(gradient[j])) * static_cast<Total>(to_float(gamma[j]));
        total += g;
        product += g * (static_cast<Total>(to_float(value[j])) - mean);
      }
    }
    const Total g_mean = warp_sum(total) / static_cast<Total>(rows.width);
    const Total slope = warp_sum(product) * inv_std * inv_std / static_cast<Total>(rows.width);
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> value = load_pack<n>(x + c);
      const Pack<T, n> gradient = load_pack<n>(dy + c);
      const Pack<T, n> gamma = load_pack<n>(o.gamma + c);
      Pack<T, n> result;
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        const Total g =
            static_cast<Total>(to_float(gradient[j])) * static_cast<Total>(to_float(gamma[j]));
        const Total centred = static_cast<Total>(to_float(value[j])) - mean;
        result[j] = from_float<T>(static_cast<float>(inv_std * ((g - g_mean) - centred * slope)));
      }
      store_pack(dx + c, result);
    }
  }
}

// The sums of dy and of dy xhat down the columns.
template <class T, int width>
struct LayerNormTerms {
  using Total = Wide<T>;
  static constexpr int n = width;
  struct Fixed {};
  const T* x;
  const float* mean;
  const float* inv_std;
  const T* dy;

  CG_DEVICE Fixed fixed(std::int64_t) const { return {}; }
  CG_DEVICE void add(const Fixed&, std::int64_t row, std::int64_t at, Total (&a)[n],
                     Total (&b)[n]) const {
    const Pack<T, n> value = load_pack<n>(x + at);
    const Pack<T, n> gradient = load_pack<n>(dy + at);
    const float centre = mean[row];
    const float inverse = inv_std[row];
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      const float g = to_float(gradient[j]);
      a[j] += static_cast<Total>(g);
      b[j] += static_cast<Total>(g * ((to_float(value[j]) - centre) * inverse));
    }
  }
};

template <class T>
struct LayerNormFinish {
  T* dbeta;
  T* dgamma;
  CG_DEVICE void operator()(std::int64_t column, Wide<T> a, Wide<T> b) const {
    dbeta[column] = from_float<T>(static_cast<float>(a));
    dgamma[column] = from_float<T>(static_cast<float>(b));
  }
};

Rows check_layer_norm(const ConstView& x, std::initializer_list<ConstView> same,
                      std::initializer_list<ConstView> vectors,
                      std::initializer_list<ConstView> statistics) {
  const Rows rows = last_axis_rows("layer_norm", x.dims);
  for (const ConstView& view : same) require_same_shape("layer_norm", x.dims, view.dims);
  for (const ConstView& view : vectors) require_vector("layer_norm", view.dims, rows.width);
  for (const ConstView& view : statistics) {
    require_dtype("layer_norm's statistics", DType::f32, {view});
    CG_CHECK(view.numel() == rows.count,
             "layer_norm: " + std::to_string(rows.count) + " rows of shape " + x.dims.to_string() +
                 " need one statistic each, got shape " + view.dims.to_string());
  }
  return rows;
}

}  // namespace
}  // namespace cuda

void CudaBackend::layer_norm_forward(ConstView x, ConstView gamma, ConstView beta, double eps,
                                     View y, View mean, View inv_std) {
  const cuda::Rows rows = cuda::check_layer_norm(x, {y}, {gamma, beta}, {mean, inv_std});
  if (rows.width == 0) {
    fill(mean, 0.0);
    fill(inv_std, 1.0 / std::sqrt(eps));
    return;
  }
  cuda::dispatch_storage("layer_norm", {x, gamma, beta, y}, [&](auto element) {
    using T = decltype(element);
    const cuda::LayerNormForward<T> operands{
        cuda::elements<T>(x), cuda::elements<T>(gamma),    cuda::elements<T>(beta),
        cuda::elements<T>(y), cuda::elements<float>(mean), cuda::elements<float>(inv_std)};
    cuda::dispatch_pack<T>(rows.width, {x.data, gamma.data, beta.data, y.data}, [&](auto n) {
      cuda::launch<cuda::layer_norm_kernel<T, n()>>(device_.blocks_for(rows.count * 32),
                                                    cuda::block_threads, 0, device_.stream,
                                                    operands, rows, static_cast<float>(eps));
    });
  });
}

void CudaBackend::layer_norm_backward(ConstView x, ConstView gamma, ConstView mean,
                                      ConstView inv_std, ConstView dy, View dx, View dgamma,
                                      View dbeta) {
  const cuda::Rows rows =
      cuda::check_layer_norm(x, {dy, dx}, {gamma, dgamma, dbeta}, {mean, inv_std});
  if (rows.width == 0) return;
  cuda::dispatch_storage("layer_norm", {x, gamma, dy, dx, dgamma, dbeta}, [&](auto element) {
    using T = decltype(element);
    const cuda::LayerNormBackward<T> operands{
        cuda::elements<T>(x),           cuda::elements<T>(gamma), cuda::elements<float>(mean),
        cuda::elements<float>(inv_std), cuda::elements<T>(dy),    cuda::elements<T>(dx)};
    const cuda::LayerNormFinish<T> finish{cuda::elements<T>(dbeta), cuda::elements<T>(dgamma)};
    cuda::dispatch_pack<T>(rows.width, {x.data, gamma.data, dy.data, dx.data}, [&](auto n) {
      cuda::launch<cuda::layer_norm_backward_kernel<T, n()>>(device_.blocks_for(rows.count * 32),
                                                             cuda::block_threads, 0, device_.stream,
                                                             operands, rows);
      const cuda::LayerNormTerms<T, n()> terms{operands.x, operands.mean, operands.inv_std,
                                               operands.dy};
      cuda::column_sums(device_, blocks_, terms, finish, {rows.count, rows.width});
    });
  });
}

}  // namespace cardiograd
