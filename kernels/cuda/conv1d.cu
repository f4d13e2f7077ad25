// 1-D convolution and its gradients: without groups, in tiles in f32 (conv1d_tile.h,
// conv1d_weight.h) and on tensor cores in bf16 (conv1d_tensor.h); channel by channel
// (conv1d_grouped.h) with groups. The gradient to the bias is a column sum,
// reduce.cu's. Their headers give bytes, operations and bounds.
#include "kernels/cuda/conv1d_grouped.h"
#include "kernels/cuda/conv1d_tensor.h"
#include "kernels/cuda/conv1d_tile.h"
#include "kernels/cuda/conv1d_weight.h"
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {
namespace cuda {
namespace {

// y (bias may be null), or x's gradient at the steps of one phase.
template <bool backward, class T>
void convolve(const Device& device, BlockCache& blocks, const Convolution<backward>& convolution,
              const T* x, const T* weight, const T* bias, T* y) {
  if (convolution.shape.spec.groups > 1) {
    convolve_groups(device, convolution, x, weight, bias, y);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    tensor_convolve(device, blocks, convolution, x, weight, bias, y);
  } else {
    convolve_tiles(device, convolution, 1,
                   Rows<T>(x, convolution.in_length(), convolution.in_channels()), weight,
                   WriteRows<T>{bias, y, fours_fit(y, convolution.out_channels())});
  }
}

template <class T>
void weight_gradient(const Device& device, BlockCache& blocks, const Conv1dShape& shape, const T* x,
                     const T* dy, T* dweight) {
  if (shape.spec.groups > 1) {
    grouped_weight_gradient(device, blocks, shape, x, dy, dweight);
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    tensor_weight_gradient(device, blocks, shape, x, dy, dweight);
  } else {
    conv_weight_gradient(device, blocks, shape, Rows<T>(x, shape.length, shape.inputs),
                         Rows<T>(dy, shape.output_length, shape.outputs), dweight);
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::conv1d_forward(const Conv1dSpec& spec, ConstView x, ConstView weight,
                                 ConstView bias, View y) {
  const Conv1dShape shape = conv1d_shape(spec, x.dims, weight.dims, y.dims);
  check_bias(shape, bias);
  if (y.numel() == 0) return;
  cuda::dispatch_storage("conv1d", {y, x, weight, bias}, [&](auto element) {
    using T = decltype(element);
    const cuda::Convolution<false> convolution{shape,
                                               cuda::forward_walk(shape, shape.output_length)};
    cuda::convolve(device_, blocks_, convolution, cuda::elements<T>(x), cuda::elements<T>(weight),
                   cuda::elements<T>(bias), cuda::elements<T>(y));
  });
}

void CudaBackend::conv1d_backward_data(const Conv1dSpec& spec, ConstView dy, ConstView weight,
                                       View dx) {
  const Conv1dShape shape = conv1d_shape(spec, dx.dims, weight.dims, dy.dims);
  if (dx.numel() == 0) return;
  cuda::dispatch_storage("conv1d", {dx, dy, weight}, [&](auto element) {
    using T = decltype(element);
    cuda::for_each_phase(shape, [&](const cuda::Convolution<true>& convolution) {
      cuda::convolve(device_, blocks_, convolution, cuda::elements<T>(dy),
                     cuda::elements<T>(weight), static_cast<const T*>(nullptr),
                     cuda::elements<T>(dx));
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
    cuda::weight_gradient(device_, blocks_, shape, cuda::elements<T>(x), cuda::elements<T>(dy),
                          cuda::elements<T>(dweight));
  });
}

}  // namespace cardiograd
