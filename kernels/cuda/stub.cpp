// A build without a CUDA toolkit.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/device_timer.h"

namespace cardiograd {

std::shared_ptr<Backend> make_cuda_backend(int) {
  throw DeviceError(
      "this build has no CUDA support, because no CUDA toolkit was found when it was configured: "
      "install CUDA 13 and build with the preset \"cuda\", or use device = \"cpu\"");
}

std::shared_ptr<Backend> make_cuda_backend(int index, DType, const cuda::PlanOptions&) {
  return make_cuda_backend(index);
}

std::shared_ptr<Backend> make_cuda_kernel_backend(int index, DType) {
  return make_cuda_backend(index);
}

TimedDevice make_timed_cuda_device(int index) { return {make_cuda_backend(index), nullptr, "", 0}; }

std::string cuda_backend_description() { return "cuda: not built (no toolkit)"; }

}  // namespace cardiograd
