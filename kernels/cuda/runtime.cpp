// runtime.h by CUDA's runtime.
#include "kernels/cuda/runtime.h"

#include <cstdlib>
#include <cstring>
#include <cuda_runtime_api.h>

#include "kernels/cuda/device_errors.h"

namespace cardiograd::cuda {
namespace {

std::string text_of(cudaError_t status) {
  return std::string(cudaGetErrorString(status)) + " (" + cudaGetErrorName(status) + ")";
}

void check(cudaError_t status, const std::string& what) {
  if (status != cudaSuccess) throw failed_call(what, text_of(status), synchronises_launches());
}

bool is_done(cudaError_t status, const std::string& what) {
  if (status == cudaErrorNotReady) return false;
  check(status, what);
  return true;
}

cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t native_event(Event event) { return static_cast<cudaEvent_t>(event); }

}  // namespace

void select_device(int index) {
  FoundDevices found;
  if (const cudaError_t status = cudaGetDeviceCount(&found.count); status != cudaSuccess) {
    found.trouble = cudaGetErrorString(status);
  }
  require_device(index, found);
  Capability capability;
  const std::string what = "asking for the compute capability of cuda:" + std::to_string(index);
  check(cudaDeviceGetAttribute(&capability.major, cudaDevAttrComputeCapabilityMajor, index), what);
  check(cudaDeviceGetAttribute(&capability.minor, cudaDevAttrComputeCapabilityMinor, index), what);
  require_capability(index, capability);
  use_device(index);
}

void use_device(int index) {
  thread_local int current = -1;
  if (current == index) return;
  check(cudaSetDevice(index), "choosing device cuda:" + std::to_string(index));
  current = index;
}

std::size_t free_memory(int index) {
  use_device(index);
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total),
        "asking for the free memory of cuda:" + std::to_string(index));
  return free;
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

bool is_idle(Stream stream) {
  return is_done(cudaStreamQuery(native(stream)), "the work on the GPU");
}

MemorySource device_memory(int index) {
  const auto allocate = [index](std::size_t size) -> void* {
    use_device(index);
    void* data = nullptr;
    if (cudaMalloc(&data, size) == cudaSuccess) return data;
    static_cast<void>(cudaGetLastError());  // the cache tries again or reports it
    return nullptr;
  };
  return {memory_name(index), allocate,
          [](void* data) noexcept { static_cast<void>(cudaFree(data)); }};
}

void* allocate_pinned(std::size_t bytes) {
  void* data = nullptr;
  check(cudaHostAlloc(&data, bytes, cudaHostAllocPortable),
        "pinning " + std::to_string(bytes) + " bytes of host memory");
  return data;
}

void release_pinned(void* data) noexcept { static_cast<void>(cudaFreeHost(data)); }

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

void copy_from_pinned(void* device, const void* pinned, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice, native(stream)),
        "copying " + std::to_string(bytes) + " bytes to the GPU");
}

void copy_to_pinned(void* pinned, const void* device, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, native(stream)),
        "copying " + std::to_string(bytes) + " bytes from the GPU");
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

void wait_for_event(Stream stream, Event event) {
  check(cudaStreamWaitEvent(native(stream), native_event(event)), "waiting for a CUDA event");
}

void synchronize_event(Event event) {
  check(cudaEventSynchronize(native_event(event)), "waiting for a CUDA event");
}

bool has_happened(Event event) {
  return is_done(cudaEventQuery(native_event(event)), "the work on the GPU");
}

float elapsed_milliseconds(Event begin, Event end) {
  check(cudaEventSynchronize(native_event(end)), "waiting for a CUDA event");
  float milliseconds = 0.0F;
  check(cudaEventElapsedTime(&milliseconds, native_event(begin), native_event(end)),
        "reading the time between CUDA events");
  return milliseconds;
}

// Thread-local: another thread may meanwhile prepare batches, which asks the driver for memory.
void begin_capture(Stream stream) {
  check(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal),
        "beginning to record a CUDA graph");
}

Graph end_capture(Stream stream) {
  cudaGraph_t recorded = nullptr;
  check(cudaStreamEndCapture(native(stream), &recorded), "recording a CUDA graph");
  cudaGraphExec_t graph = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&graph, recorded, 0);
  static_cast<void>(cudaGraphDestroy(recorded));
  check(status, "preparing a CUDA graph");
  return graph;
}

void abandon_capture(Stream stream) noexcept {
  cudaGraph_t recorded = nullptr;
  static_cast<void>(cudaStreamEndCapture(native(stream), &recorded));
  if (recorded != nullptr) static_cast<void>(cudaGraphDestroy(recorded));
  static_cast<void>(cudaGetLastError());  // of the call that could not be recorded
}

void launch_graph(Graph graph, Stream stream) {
  check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), native(stream)),
        "replaying a CUDA graph");
}

void destroy_graph(Graph graph) noexcept {
  static_cast<void>(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)));
}

bool synchronises_launches() {
  static const bool asked = [] {
    const char* value = std::getenv("CARDIOGRAD_CUDA_DEBUG");
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
