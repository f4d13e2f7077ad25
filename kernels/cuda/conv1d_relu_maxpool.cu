// 1-D convolution, bias, ReLU and max-pool in one pass: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::conv1d_relu_maxpool_forward(const Conv1dSpec&, std::int64_t, ConstView, ConstView,
                                              ConstView, View, View) {
  cuda::no_kernel("conv1d_relu_maxpool_forward");
}

void CudaBackend::conv1d_relu_maxpool_backward(const Conv1dSpec&, std::int64_t, ConstView,
                                               ConstView, ConstView, ConstView, View, View, View) {
  cuda::no_kernel("conv1d_relu_maxpool_backward");
}

}  // namespace cardiograd
