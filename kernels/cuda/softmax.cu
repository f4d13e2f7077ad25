// Softmax over the last axis, and its gradient.
//
// Bytes an element in f32: forward 8 (x is read three times, the second and third from the cache),
// backward 12; about 20 FLOPs. Bound: memory. A warp takes a row.
#include <limits>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/rows.h"

namespace cardiograd {
namespace cuda {
namespace {

struct Greater {
  CG_DEVICE float operator()(float a, float b) const { return math::max(a, b); }
};

template <class T, int n>
CG_KERNEL(block_threads)
void softmax_kernel(const T* __restrict__ x, T* __restrict__ y, Rows rows) {
  const int lane = lane_of();
  for (std::int64_t row = first_row(); row < rows.count; row += row_step()) {
    const T* from = x + row * rows.width;
    T* to = y + row * rows.width;
    float highest = -std::numeric_limits<float>::infinity();
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> pack = load_pack<n>(from + c);
      CG_UNROLL
      for (int j = 0; j < n; ++j) highest = math::max(highest, to_float(pack[j]));
    }
    highest = warp_reduce(highest, Greater{});
    float total = 0.0F;
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> pack = load_pack<n>(from + c);
      CG_UNROLL
      for (int j = 0; j < n; ++j) total += math::exp(to_float(pack[j]) - highest);
    }
    const float inverse = 1.0F / warp_sum(total);
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> pack = load_pack<n>(from + c);
      Pack<T, n> result;
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        result[j] = from_float<T>(math::exp(to_float(pack[j]) - highest) * inverse);
      }
      store_pack(to + c, result);
    }
  }
}

// dx = y (dy - sum of y dy).
template <class T, int n>
CG_KERNEL(block_threads)
void softmax_backward_kernel(const T* __restrict__ y, const T* __restrict__ dy, T* __restrict__ dx,
                             Rows rows) {
  const int lane = lane_of();
  for (std::int64_t row = first_row(); row < rows.count; row += row_step()) {
    const std::int64_t first = row * rows.width;
    float dot = 0.0F;
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> value = load_pack<n>(y + first + c);
      const Pack<T, n> gradient = load_pack<n>(dy + first + c);
      CG_UNROLL
      for (int j = 0; j < n; ++j) dot += to_float(value[j]) * to_float(gradient[j]);
    }
    dot = warp_sum(dot);
    for (std::int64_t c = lane * n; c < rows.width; c += 32 * n) {
      const Pack<T, n> value = load_pack<n>(y + first + c);
      const Pack<T, n> gradient = load_pack<n>(dy + first + c);
      Pack<T, n> result;
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        result[j] = from_float<T>(to_float(value[j]) * (to_float(gradient[j]) - dot));
      }
      store_pack(dx + first + c, result);
    }
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::softmax_forward(ConstView x, View y) {
  require_same_shape("softmax", x.dims, y.dims);
  const cuda::Rows rows = cuda::last_axis_rows("softmax", x.dims);
  if (rows.width == 0) return;
  cuda::dispatch_storage("softmax", {x, y}, [&](auto element) {
    using T = decltype(element);
    cuda::dispatch_pack<T>(rows.width, {x.data, y.data}, [&](auto n) {
      cuda::launch<cuda::softmax_kernel<T, n()>>(device_.blocks_for(rows.count * 32),
                                                 cuda::block_threads, 0, device_.stream,
                                                 cuda::elements<T>(x), cuda::elements<T>(y), rows);
    });
  });
}

void CudaBackend::softmax_backward(ConstView y, ConstView dy, View dx) {
  require_same_shape("softmax", y.dims, dx.dims);
  require_same_shape("softmax", dy.dims, dx.dims);
  const cuda::Rows rows = cuda::last_axis_rows("softmax", y.dims);
  if (rows.width == 0) return;
  cuda::dispatch_storage("softmax", {y, dy, dx}, [&](auto element) {
    using T = decltype(element);
    cuda::dispatch_pack<T>(rows.width, {y.data, dy.data, dx.data}, [&](auto n) {
      cuda::launch<cuda::softmax_backward_kernel<T, n()>>(
          device_.blocks_for(rows.count * 32), cuda::block_threads, 0, device_.stream,
          cuda::elements<T>(y), cuda::elements<T>(dy), cuda::elements<T>(dx), rows);
    });
  });
}

}  // namespace cardiograd
