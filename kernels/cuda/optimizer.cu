// Gradient norm and optimizer steps: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::gradient_norm(ConstView, double, View, View) { cuda::no_kernel("gradient_norm"); }

void CudaBackend::optimizer_step(const OptimizerSpec&, std::int64_t, ConstView, ConstView, View,
                                 const std::vector<View>&) {
  cuda::no_kernel("optimizer_step");
}

}  // namespace cardiograd
