// Nearest upsampling over time: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::upsample_nearest_forward(std::int64_t, ConstView, View) {
  cuda::no_kernel("upsample_nearest_forward");
}

void CudaBackend::upsample_nearest_backward(std::int64_t, ConstView, View) {
  cuda::no_kernel("upsample_nearest_backward");
}

}  // namespace cardiograd
