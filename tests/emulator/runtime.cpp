// kernels/cuda/runtime.h on the emulator: the device's memory is the host's, and every call is done
// when it returns.
#include "kernels/cuda/runtime.h"

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "tests/support/address_sanitizer.h"

namespace cardiograd::cuda {
namespace {

using Time = std::chrono::steady_clock::time_point;

constexpr std::size_t alignment = 256;

// Fresh memory holds NaN, as does memory of an earlier operation: nothing may be read before it is
// written.
void mark(void* data, std::size_t used, std::size_t size) noexcept {
  ASAN_UNPOISON_MEMORY_REGION(data, size);
  std::memset(data, 0xFF, size);
  ASAN_POISON_MEMORY_REGION(static_cast<unsigned char*>(data) + used, size - used);
}

}  // namespace

void select_device(int index) {
  if (index != 0) {
    throw DeviceError("device \"cuda:" + std::to_string(index) +
                      "\" does not exist: the emulator is one device");
  }
}

// Few multiprocessors: loops over a grid that is too small for its work do turn.
DeviceInfo device_info(int) { return {"emulator", 2, std::size_t{1} << 34, std::size_t{1} << 12}; }

Stream create_stream() { return nullptr; }
void destroy_stream(Stream) noexcept {}
void synchronize(Stream) {}

MemorySource device_memory() {
  const auto allocate = [](std::size_t size) {
    return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  };
  return {"emulated GPU", allocate, [](void* data) noexcept { std::free(data); }, mark};
}

void copy_from_host(void* device, const void* host, std::size_t bytes, Stream) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}
void copy_to_host(void* host, const void* device, std::size_t bytes, Stream) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

Event create_event() { return new Time; }
void destroy_event(Event event) noexcept { delete static_cast<Time*>(event); }
void record_event(Event event, Stream) {
  *static_cast<Time*>(event) = std::chrono::steady_clock::now();
}
float elapsed_milliseconds(Event begin, Event end) {
  const std::chrono::duration<float, std::milli> elapsed =
      *static_cast<Time*>(end) - *static_cast<Time*>(begin);
  return elapsed.count();
}

bool synchronises_launches() { return false; }
std::string runtime_version() { return "emulator"; }
void check_launch(int, std::string (*)()) {}

}  // namespace cardiograd::cuda
