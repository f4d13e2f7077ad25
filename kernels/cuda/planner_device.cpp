// What the planner asks CUDA's runtime for.
#include <cuda_runtime_api.h>

#include "kernels/cuda/planner.h"

namespace cardiograd::cuda {
namespace {

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw DeviceError(std::string(what) + " failed: " + cudaGetErrorString(status) + " (" +
                    cudaGetErrorName(status) + ")");
}

// "13.0" of 13000
std::string version_of(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

}  // namespace

bool is_capturing(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(static_cast<cudaStream_t>(stream), &status),
        "asking whether a graph is captured");
  return status != cudaStreamCaptureStatusNone;
}

PlanMachine machine_of(int index) {
  int major = 0, minor = 0, driver = 0, runtime = 0;
  const char* what = "asking for the GPU's versions";
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), what);
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index), what);
  check(cudaDriverGetVersion(&driver), what);
  check(cudaRuntimeGetVersion(&runtime), what);
  PlanMachine machine;
  machine.gpu = device_info(index).name;
  machine.capability = std::to_string(major) + "." + std::to_string(minor);
  machine.driver = version_of(driver);
  machine.cuda = version_of(runtime);
  return machine;
}

}  // namespace cardiograd::cuda
