// Looks for a CUDA device through the runtime. The CUDA operations are not part of this version.
#include <cuda_runtime_api.h>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"

namespace cardiograd {

namespace {

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

std::shared_ptr<Backend> make_cuda_backend(int index) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    throw DeviceError(std::string("no CUDA device can be used: ") + cudaGetErrorString(status) +
                      "; use device = \"cpu\"");
  }
  if (index >= count) {
    throw DeviceError("device \"cuda:" + std::to_string(index) +
                      "\" does not exist: this machine has " + std::to_string(count) +
                      " CUDA device(s)");
  }
  throw DeviceError(
      "this version finds CUDA devices but has no CUDA operations yet; use device = \"cpu\"");
}

std::string cuda_backend_description() {
  return "cuda: device query only (toolkit " + version_text(CUDART_VERSION) +
         "), no operations in this version";
}

}  // namespace cardiograd
