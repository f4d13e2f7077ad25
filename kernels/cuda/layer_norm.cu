// LayerNorm: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::layer_norm_forward(ConstView, ConstView, ConstView, double, View, View, View) {
  cuda::no_kernel("layer_norm_forward");
}

void CudaBackend::layer_norm_backward(ConstView, ConstView, ConstView, ConstView, ConstView, View,
                                      View, View) {
  cuda::no_kernel("layer_norm_backward");
}

}  // namespace cardiograd
