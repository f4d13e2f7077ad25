// What the host code of CudaBackend needs of a device: memory, streams, events. Implemented by
// runtime.cpp with CUDA's runtime, and by tests/emulator/runtime.cpp in the test programs. Every
// failure is a DeviceError that says what was tried and what the driver answered.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/cpu/block_cache.h"
#include "kernels/error.h"

namespace cardiograd::cuda {

using Stream = void*;  // cudaStream_t
using Event = void*;   // cudaEvent_t

struct DeviceInfo {
  std::string name;         // "NVIDIA H200"
  int multiprocessors = 0;  // streaming multiprocessors
  std::size_t memory = 0;   // bytes
  std::size_t cache = 0;    // bytes of the L2
};

// Makes device `index` the one that this thread's calls go to. Throws when there is no driver, no
// such device, or when it is older than compute capability 8.0.
void select_device(int index);
// The same for a device that was selected before, perhaps by another thread; costs nothing where
// this thread's calls go there already.
void use_device(int index);
DeviceInfo device_info(int index);
// Bytes of the device's memory that nobody has.
std::size_t free_memory(int index);

// A device's stream as launches take it: whichever thread asks for it, calls the device.
struct Queue {
  Stream stream = nullptr;
  int device = 0;
  operator Stream() const {  // NOLINT: it stands where a stream is wanted
    use_device(device);
    return stream;
  }
};

Stream create_stream();
void destroy_stream(Stream stream) noexcept;
// Waits until all that was asked for on the stream is done.
void synchronize(Stream stream);

// Whether it is done, without waiting. Throws where the device reports an error.
bool is_idle(Stream stream);

// Memory of a device, for BlockCache: 256-byte aligned.
MemorySource device_memory(int index);
// Host memory that a device reads by itself (pinned). Throws where there is none.
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* data) noexcept;

// From and to host memory; both return when the copy is done, so that the host's side may change.
void copy_from_host(void* device, const void* host, std::size_t bytes, Stream stream);
void copy_to_host(void* host, const void* device, std::size_t bytes, Stream stream);
// From and to pinned memory, without waiting.
void copy_from_pinned(void* device, const void* pinned, std::size_t bytes, Stream stream);
void copy_to_pinned(void* pinned, const void* device, std::size_t bytes, Stream stream);
// From device to device, without waiting.
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream stream);

Event create_event();
void destroy_event(Event event) noexcept;
void record_event(Event event, Stream stream);
// What the stream is asked for from now on comes after the event; the host does not wait.
void wait_for_event(Stream stream, Event event);
// The host waits.
void synchronize_event(Event event);
// Whether what came before the event is done. Throws where the device reports an error.
bool has_happened(Event event);
// Waits for `end`; milliseconds between the two on the device's clock.
float elapsed_milliseconds(Event begin, Event end);

// What is asked of the stream by this thread from begin_capture on is recorded, not done, until
// end_capture; what waits for the device, and copies from memory that is not pinned, throw
// meanwhile.
using Graph = void*;  // cudaGraphExec_t
void begin_capture(Stream stream);
Graph end_capture(Stream stream);
void abandon_capture(Stream stream) noexcept;
void launch_graph(Graph graph, Stream stream);
void destroy_graph(Graph graph) noexcept;

// Whether CARDIOGRAD_CUDA_DEBUG=1 asks that every launch waits for its kernel.
bool synchronises_launches();

// "13.0": the toolkit that this was built with, or "emulator".
std::string runtime_version();

// Throws DeviceError that names the kernel unless `status`, a cudaError_t, is success.
void check_launch(int status, std::string (*kernel_name)());

}  // namespace cardiograd::cuda
