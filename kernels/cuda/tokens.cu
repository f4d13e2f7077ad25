// Embeddings and quantization: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::embedding_forward(ConstView, ConstView, View) {
  cuda::no_kernel("embedding_forward");
}

void CudaBackend::embedding_backward(ConstView, ConstView, View) {
  cuda::no_kernel("embedding_backward");
}

void CudaBackend::quantize(const QuantizeSpec&, ConstView, View) { cuda::no_kernel("quantize"); }

}  // namespace cardiograd
