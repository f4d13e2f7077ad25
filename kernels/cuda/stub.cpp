// A build without a CUDA toolkit.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/device_timer.h"

namespace cardiograd {

namespace {

[[noreturn]] void refuse() {
  throw DeviceError(
      "this build has no CUDA support, because no CUDA toolkit was found when it was configured: "
      "install CUDA 13 and build with the preset \"cuda\", or use device = \"cpu\"");
}

}  // namespace

std::shared_ptr<Backend> make_cuda_backend(int, const BackendOptions&) { refuse(); }
std::shared_ptr<Backend> make_cuda_backend(int, DType, const cuda::PlanOptions&) { refuse(); }
std::shared_ptr<Backend> make_cuda_kernel_backend(int, DType) { refuse(); }
TimedDevice make_timed_cuda_device(int) { refuse(); }

std::string cuda_backend_description() { return "cuda: not built (no toolkit)"; }

}  // namespace cardiograd
