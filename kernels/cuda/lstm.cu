// LSTM: no kernels yet.
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {

void CudaBackend::lstm_forward(const LstmSpec&, ConstView, ConstView, ConstView, ConstView,
                               ConstView, View, View, View) {
  cuda::no_kernel("lstm_forward");
}

void CudaBackend::lstm_backward(const LstmSpec&, ConstView, ConstView, ConstView, ConstView,
                                ConstView, ConstView, View, View, View, View, View) {
  cuda::no_kernel("lstm_backward");
}

}  // namespace cardiograd
