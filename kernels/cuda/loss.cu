// Binary cross-entropy with logits: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::bce_with_logits(ConstView, ConstView, ConstView, Reduction, View, View) {
  cuda::no_kernel("bce_with_logits");
}

}  // namespace cardiograd
