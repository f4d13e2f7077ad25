// Scaled dot-product attention: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::attention_forward(const AttentionSpec&, const AttentionMasks&, ConstView,
                                    ConstView, ConstView, View, View) {
  cuda::no_kernel("attention_forward");
}

void CudaBackend::attention_backward(const AttentionSpec&, const AttentionMasks&, ConstView,
                                     ConstView, ConstView, ConstView, ConstView, ConstView, View,
                                     View, View) {
  cuda::no_kernel("attention_backward");
}

}  // namespace cardiograd
