// BatchNorm: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::batch_norm_training_forward(ConstView, ConstView, ConstView, double, double, View,
                                              View, View, View, View) {
  cuda::no_kernel("batch_norm_training_forward");
}

void CudaBackend::batch_norm_training_backward(ConstView, ConstView, ConstView, ConstView,
                                               ConstView, View, View, View) {
  cuda::no_kernel("batch_norm_training_backward");
}

void CudaBackend::batch_norm_inference_forward(ConstView, ConstView, ConstView, ConstView,
                                               ConstView, double, View) {
  cuda::no_kernel("batch_norm_inference_forward");
}

void CudaBackend::batch_norm_inference_backward(ConstView, ConstView, ConstView, ConstView, double,
                                                ConstView, View, View, View) {
  cuda::no_kernel("batch_norm_inference_backward");
}

}  // namespace cardiograd
