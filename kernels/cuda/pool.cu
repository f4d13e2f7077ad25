// Max, average and adaptive pooling over time: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::max_pool1d_forward(const Pool1dSpec&, ConstView, View, View) {
  cuda::no_kernel("max_pool1d_forward");
}

void CudaBackend::max_pool1d_backward(const Pool1dSpec&, ConstView, ConstView, View) {
  cuda::no_kernel("max_pool1d_backward");
}

void CudaBackend::avg_pool1d_forward(const Pool1dSpec&, ConstView, View) {
  cuda::no_kernel("avg_pool1d_forward");
}

void CudaBackend::avg_pool1d_backward(const Pool1dSpec&, ConstView, View) {
  cuda::no_kernel("avg_pool1d_backward");
}

void CudaBackend::adaptive_avg_pool1d_forward(ConstView, View) {
  cuda::no_kernel("adaptive_avg_pool1d_forward");
}

void CudaBackend::adaptive_avg_pool1d_backward(ConstView, View) {
  cuda::no_kernel("adaptive_avg_pool1d_backward");
}

}  // namespace cardiograd
