// Nearest upsampling along time: each step `factor` times over.
//
// Bytes an element of the long side: sizeof(T) written (or read), sizeof(T) / factor read (or
// written); at most one FLOP. Bound: memory. A thread has 16 bytes of neighbouring channels, of the
// output in both directions, so that nothing is summed across threads.
#include <type_traits>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/grid.h"

namespace cardiograd {
namespace cuda {
namespace {

// x [rows, packs], y [rows * factor, packs], in packs of n.
template <class T, int n>
CG_KERNEL(block_threads)
void upsample_kernel(const T* __restrict__ x, std::int64_t factor, std::int64_t packs,
                     std::int64_t count, T* __restrict__ y) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const std::int64_t from = i / packs / factor * packs + i % packs;
    store_pack(y + i * n, load_pack<n>(x + from * n));
  }
}

// dx[row] = sum of dy[row * factor ...], in packs of n.
template <class T, int n>
CG_KERNEL(block_threads)
void upsample_backward_kernel(const T* __restrict__ dy, std::int64_t factor, std::int64_t packs,
                              std::int64_t count, T* __restrict__ dx) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const T* from = dy + (i / packs * factor * packs + i % packs) * n;
    float sums[n] = {};
    for (std::int64_t step = 0; step < factor; ++step) {
      const Pack<T, n> pack = load_pack<n>(from + step * packs * n);
      CG_UNROLL
      for (int j = 0; j < n; ++j) sums[j] += to_float(pack[j]);
    }
    Pack<T, n> result;
    CG_UNROLL
    for (int j = 0; j < n; ++j) result[j] = from_float<T>(sums[j]);
    store_pack(dx + i * n, result);
  }
}

void check_upsampling(std::int64_t factor, const Dims& x, const Dims& y) {
  CG_CHECK(factor >= 1 && x.rank() == 3 && y.rank() == 3 && y[0] == x[0] && y[1] == factor * x[1] &&
               y[2] == x[2],
           "upsample_nearest by " + std::to_string(factor) + ": x " + x.to_string() + " and y " +
               y.to_string() + " do not fit");
}

// Calls run(std::integral_constant<int, n>) with how many channels a thread may have at once.
template <class T, class Run>
void in_packs(std::int64_t channels, const void* x, const void* y, const Run& run) {
  if (channels % pack_size<T> == 0 && is_aligned(x, 16) && is_aligned(y, 16)) {
    run(std::integral_constant<int, pack_size<T>>{});
  } else {
    run(std::integral_constant<int, 1>{});
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::upsample_nearest_forward(std::int64_t factor, ConstView x, View y) {
  cuda::check_upsampling(factor, x.dims, y.dims);
  if (y.numel() == 0) return;
  cuda::dispatch_storage("upsample_nearest", {y, x}, [&](auto element) {
    using T = decltype(element);
    const std::int64_t channels = x.dims[2];
    cuda::in_packs<T>(channels, x.data, y.data, [&](auto n) {
      const std::int64_t count = y.numel() / n;
      cuda::launch<cuda::upsample_kernel<T, decltype(n)::value>>(
          device_.blocks_for(count), cuda::block_threads, 0, device_.stream, cuda::elements<T>(x),
          factor, channels / n, count, cuda::elements<T>(y));
    });
  });
}

void CudaBackend::upsample_nearest_backward(std::int64_t factor, ConstView dy, View dx) {
  cuda::check_upsampling(factor, dx.dims, dy.dims);
  if (dx.numel() == 0) return;
  cuda::dispatch_storage("upsample_nearest", {dx, dy}, [&](auto element) {
    using T = decltype(element);
    const std::int64_t channels = dx.dims[2];
    cuda::in_packs<T>(channels, dy.data, dx.data, [&](auto n) {
      const std::int64_t count = dx.numel() / n;
      cuda::launch<cuda::upsample_backward_kernel<T, decltype(n)::value>>(
          device_.blocks_for(count), cuda::block_threads, 0, device_.stream, cuda::elements<T>(dy),
          factor, channels / n, count, cuda::elements<T>(dx));
    });
  });
}

}  // namespace cardiograd
