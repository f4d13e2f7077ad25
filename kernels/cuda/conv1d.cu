// 1-D convolution: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::conv1d_forward(const Conv1dSpec&, ConstView, ConstView, ConstView, View) {
  cuda::no_kernel("conv1d_forward");
}

void CudaBackend::conv1d_backward_data(const Conv1dSpec&, ConstView, ConstView, View) {
  cuda::no_kernel("conv1d_backward_data");
}

void CudaBackend::conv1d_backward_weight(const Conv1dSpec&, ConstView, ConstView, View, View) {
  cuda::no_kernel("conv1d_backward_weight");
}

}  // namespace cardiograd
