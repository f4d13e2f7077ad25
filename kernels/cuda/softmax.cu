// Softmax over the last axis: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::softmax_forward(ConstView, View) { cuda::no_kernel("softmax_forward"); }

void CudaBackend::softmax_backward(ConstView, ConstView, View) {
  cuda::no_kernel("softmax_backward");
}

}  // namespace cardiograd
