// Linear layers: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::linear_forward(ConstView, ConstView, ConstView, View) {
  cuda::no_kernel("linear_forward");
}

void CudaBackend::linear_backward_data(ConstView, ConstView, View) {
  cuda::no_kernel("linear_backward_data");
}

void CudaBackend::linear_backward_weight(ConstView, ConstView, View, View) {
  cuda::no_kernel("linear_backward_weight");
}

}  // namespace cardiograd
