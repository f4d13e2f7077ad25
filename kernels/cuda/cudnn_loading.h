// What the graph API (cudnn.cpp) and the RNN API (cudnn_rnn.cpp) share: where the library is, and
// its errors. An Api has the functions that its file calls, error_string among them.
#pragma once

#include <cudnn_graph.h>
#include <string>

#include "kernels/cuda/shared_library.h"

namespace cardiograd::cuda {

template <class Api>
const Loaded<Api>& loaded_cudnn() {
  static const Loaded<Api> once = load<Api>("libcudnn.so." + std::to_string(CUDNN_MAJOR));
  return once;
}

template <class Api>
void check(const Api& api, cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  throw DeviceError(std::string("cuDNN: ") + what + " failed: " + api.error_string(status));
}

}  // namespace cardiograd::cuda
