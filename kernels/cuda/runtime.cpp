// runtime.h by CUDA's runtime.
#include "kernels/cuda/runtime.h"

#include <cstdlib>
#include <cstring>
#include <cuda_runtime_api.h>

namespace cardiograd::cuda {
namespace {

void check(cudaError_t status, const std::string& what) {
  if (status == cudaSuccess) return;
  throw DeviceError(what + " failed: " + cudaGetErrorString(status) + " (" +
                    cudaGetErrorName(status) + ")");
}

cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t native_event(Event event) { return static_cast<cudaEvent_t>(event); }

}  // namespace

void select_device(int index) {
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
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index),
        "asking for the compute capability of cuda:" + std::to_string(index));
  if (major < 8) {
    throw DeviceError("device \"cuda:" + std::to_string(index) + "\" has compute capability " +
                      std::to_string(major) + ", but 8.0 or later is needed: use device = \"cpu\"");
  }
  check(cudaSetDevice(index), "choosing device cuda:" + std::to_string(index));
}

DeviceInfo device_info(int index) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index),
        "asking for the properties of cuda:" + std::to_string(index));
  return {properties.name, properties.multiProcessorCount, properties.totalGlobalMem,
          static_cast<std::size_t>(properties.l2CacheSize)};
}

Stream create_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a CUDA stream");
  return stream;
}

void destroy_stream(Stream stream) noexcept {
  static_cast<void>(cudaStreamDestroy(native(stream)));
}

void synchronize(Stream stream) {
  check(cudaStreamSynchronize(native(stream)), "waiting for the CUDA stream");
}

MemorySource device_memory() {
  const auto allocate = [](std::size_t size) -> void* {
    void* data = nullptr;
    if (cudaMalloc(&data, size) == cudaSuccess) return data;
    static_cast<void>(cudaGetLastError());  // the cache tries again or reports it
    return nullptr;
  };
  return {"GPU", allocate, [](void* data) noexcept { static_cast<void>(cudaFree(data)); }};
}

void copy_from_host(void* device, const void* host, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, native(stream)),
        "copying " + std::to_string(bytes) + " bytes to the GPU");
  synchronize(stream);
}

void copy_to_host(void* host, const void* device, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, native(stream)),
        "copying " + std::to_string(bytes) + " bytes from the GPU");
  synchronize(stream);
}

void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, native(stream)),
        "copying " + std::to_string(bytes) + " bytes on the GPU");
}

Event create_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "creating a CUDA event");
  return event;
}

void destroy_event(Event event) noexcept {
  static_cast<void>(cudaEventDestroy(native_event(event)));
}

void record_event(Event event, Stream stream) {
  check(cudaEventRecord(native_event(event), native(stream)), "recording a CUDA event");
}

float elapsed_milliseconds(Event begin, Event end) {
  check(cudaEventSynchronize(native_event(end)), "waiting for a CUDA event");
  float milliseconds = 0.0F;
  check(cudaEventElapsedTime(&milliseconds, native_event(begin), native_event(end)),
        "reading the time between CUDA events");
  return milliseconds;
}

bool synchronises_launches() {
  static const bool asked = [] {
    const char* value = std::getenv("CARDIOGRAD_CUDA_SYNC");
    return value != nullptr && std::strcmp(value, "1") == 0;
  }();
  return asked;
}

std::string runtime_version() {
  return std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10);
}

void check_launch(int status, std::string (*kernel_name)()) {
  if (status != cudaSuccess) check(static_cast<cudaError_t>(status), "kernel " + kernel_name());
}

}  // namespace cardiograd::cuda
