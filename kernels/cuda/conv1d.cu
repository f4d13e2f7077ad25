// 1-D convolution and its gradients: in tiles (conv1d_tile.h, conv1d_weight.h) without groups,
// channel by channel (conv1d_grouped.h) with groups. The gradient to the bias is a column sum,
// reduce.cu's. Their headers give bytes, operations and bounds.
#include "kernels/cuda/conv1d_grouped.h"
#include "kernels/cuda/conv1d_tile.h"
#include "kernels/cuda/conv1d_weight.h"
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::conv1d_forward(const Conv1dSpec& spec, ConstView x, ConstView weight,
                                 ConstView bias, View y) {
  const Conv1dShape shape = conv1d_shape(spec, x.dims, weight.dims, y.dims);
  check_bias(shape, bias);
  if (y.numel() == 0) return;
  cuda::dispatch_storage("conv1d", {y, x, weight, bias}, [&](auto element) {
    using T = decltype(element);
    const cuda::Convolution<false> convolution{shape,
                                               cuda::forward_walk(shape, shape.output_length)};
    const T* offset = cuda::elements<T>(bias);
    T* out = cuda::elements<T>(y);
    if (spec.groups == 1) {
      cuda::convolve_tiles(device_, convolution, 1,
                           cuda::Rows<T>(cuda::elements<T>(x), shape.length, shape.inputs),
                           cuda::elements<T>(weight),
                           cuda::WriteRows<T>{offset, out, cuda::fours_fit(out, shape.outputs)});
    } else {
      cuda::convolve_groups(device_, convolution, cuda::elements<T>(x), cuda::elements<T>(weight),
                            offset, out);
    }
  });
}

void CudaBackend::conv1d_backward_data(const Conv1dSpec& spec, ConstView dy, ConstView weight,
                                       View dx) {
  const Conv1dShape shape = conv1d_shape(spec, dx.dims, weight.dims, dy.dims);
  if (dx.numel() == 0) return;
  cuda::dispatch_storage("conv1d", {dx, dy, weight}, [&](auto element) {
    using T = decltype(element);
    const T* gradient = cuda::elements<T>(dy);
    const T* factors = cuda::elements<T>(weight);
    T* out = cuda::elements<T>(dx);
    cuda::for_each_phase(shape, [&](const cuda::Convolution<true>& convolution) {
      if (spec.groups == 1) {
        cuda::convolve_tiles(device_, convolution, 1,
                             cuda::Rows<T>(gradient, shape.output_length, shape.outputs), factors,
                             cuda::WriteRows<T>{nullptr, out, cuda::fours_fit(out, shape.inputs)});
      } else {
        cuda::convolve_groups(device_, convolution, gradient, factors,
                              static_cast<const T*>(nullptr), out);
      }
    });
  });
}

void CudaBackend::conv1d_backward_weight(const Conv1dSpec& spec, ConstView x, ConstView dy,
                                         View dweight, View dbias) {
  const Conv1dShape shape = conv1d_shape(spec, x.dims, dweight.dims, dy.dims);
  check_bias(shape, dbias);
  if (dbias.present()) {
    sum(dy, 1.0, {dbias.data, dbias.dtype, {1, 1, shape.outputs}});
  }
  if (dy.numel() == 0 || dweight.numel() == 0) {
    fill(dweight, 0.0);
    return;
  }
  cuda::dispatch_storage("conv1d", {dweight, x, dy}, [&](auto element) {
    using T = decltype(element);
    const T* from = cuda::elements<T>(x);
    const T* gradient = cuda::elements<T>(dy);
    T* out = cuda::elements<T>(dweight);
    if (spec.groups == 1) {
      cuda::conv_weight_gradient(device_, blocks_, shape,
                                 cuda::Rows<T>(from, shape.length, shape.inputs),
                                 cuda::Rows<T>(gradient, shape.output_length, shape.outputs), out);
    } else {
      cuda::grouped_weight_gradient(device_, blocks_, shape, from, gradient, out);
    }
  });
}

}  // namespace cardiograd
