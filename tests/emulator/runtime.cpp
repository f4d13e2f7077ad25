// kernels/cuda/runtime.h on the emulator: the device's memory is the host's, and every call is done
// when it returns.
#include "kernels/cuda/runtime.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/cuda/device_errors.h"
#include "tests/emulator/machine_state.h"
#include "tests/support/address_sanitizer.h"

namespace cardiograd::emulator {
namespace {

std::atomic<bool> fault_pending{false};
std::atomic<std::size_t> waits{0};

// Of this thread, which has one stream.
thread_local bool capturing = false;
thread_local std::vector<std::function<void()>> recorded;

constexpr const char* fault = "an illegal memory access was encountered";

}  // namespace

bool is_capturing() { return capturing; }

void run_or_record(std::function<void()> work) {
  if (capturing) {
    recorded.push_back(std::move(work));
  } else {
    work();
  }
}

MachineState& machine_state() {
  static MachineState state;
  return state;
}

void kernel_was_launched(const std::string& name) {
  const MachineState& state = machine_state();
  if (state.failing_kernel != name) return;
  if (state.launches_wait) throw cuda::failed_call("kernel " + name, fault, true);
  fault_pending = true;
}

std::size_t waits_between_streams() { return waits; }

}  // namespace cardiograd::emulator

namespace cardiograd::cuda {
namespace {

using emulator::machine_state;
using Time = std::chrono::steady_clock::time_point;

constexpr std::size_t alignment = 256;

// As CUDA does.
void refuse_while_capturing(const std::string& what) {
  if (!emulator::is_capturing()) return;
  throw failed_call(what, "operation not permitted when stream is capturing", false);
}

// Of all devices together.
std::atomic<std::size_t> allocated{0};

// Fresh memory holds NaN, as does memory of an earlier operation: nothing may be read before it is
// written.
void mark(void* data, std::size_t used, std::size_t size) noexcept {
  ASAN_UNPOISON_MEMORY_REGION(data, size);
  std::memset(data, 0xFF, size);
  ASAN_POISON_MEMORY_REGION(static_cast<unsigned char*>(data) + used, size - used);
}

// A block's size lies before it, for free().
void* allocate(std::size_t size) {
  const std::size_t whole = (size + alignment - 1) / alignment * alignment;
  refuse_while_capturing("asking for memory");
  if (allocated + whole > machine_state().memory) return nullptr;
  auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, whole + alignment));
  if (data == nullptr) return nullptr;
  std::memcpy(data, &whole, sizeof whole);
  allocated += whole;
  return data + alignment;
}

void release(void* data) noexcept {
  std::byte* whole = static_cast<std::byte*>(data) - alignment;
  std::size_t size = 0;
  std::memcpy(&size, whole, sizeof size);
  allocated -= size;
  std::free(whole);
}

}  // namespace

void select_device(int index) {
  const emulator::MachineState& state = machine_state();
  require_device(index, {state.devices, state.driver_trouble});
  require_capability(index, {state.capability_major, state.capability_minor});
}

void use_device(int) {}

// Few multiprocessors: loops over a grid that is too small for its work do turn.
DeviceInfo device_info(int) {
  return {"emulator", 2, machine_state().memory, std::size_t{1} << 12};
}

std::size_t free_memory(int) { return machine_state().memory - allocated; }

Stream create_stream() { return nullptr; }
void destroy_stream(Stream) noexcept {}
void synchronize(Stream) {
  refuse_while_capturing("waiting for the CUDA stream");
  if (!emulator::fault_pending.exchange(false)) return;
  throw failed_call("waiting for the CUDA stream", emulator::fault, machine_state().launches_wait);
}
bool is_idle(Stream) {
  refuse_while_capturing("asking a CUDA stream whether it is idle");
  return true;
}

MemorySource device_memory(int index) { return {memory_name(index), allocate, release, mark}; }

void* allocate_pinned(std::size_t bytes) { return std::malloc(bytes); }
void release_pinned(void* data) noexcept { std::free(data); }

void copy_from_host(void* device, const void* host, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  std::memcpy(device, host, bytes);
  synchronize(stream);
}
void copy_to_host(void* host, const void* device, std::size_t bytes, Stream stream) {
  if (bytes == 0) return;
  std::memcpy(host, device, bytes);
  synchronize(stream);
}
void copy_from_pinned(void* device, const void* pinned, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  emulator::run_or_record([=] { std::memcpy(device, pinned, bytes); });
}
void copy_to_pinned(void* pinned, const void* device, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  emulator::run_or_record([=] { std::memcpy(pinned, device, bytes); });
}
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream) {
  if (bytes == 0) return;
  emulator::run_or_record([=] { std::memcpy(to, from, bytes); });
}

Event create_event() { return new Time; }
void destroy_event(Event event) noexcept { delete static_cast<Time*>(event); }
void record_event(Event event, Stream) {
  *static_cast<Time*>(event) = std::chrono::steady_clock::now();
}
void wait_for_event(Stream, Event) { ++emulator::waits; }
void synchronize_event(Event) { refuse_while_capturing("waiting for a CUDA event"); }
bool has_happened(Event) {
  refuse_while_capturing("asking for a CUDA event");
  return true;
}
float elapsed_milliseconds(Event begin, Event end) {
  const std::chrono::duration<float, std::milli> elapsed =
      *static_cast<Time*>(end) - *static_cast<Time*>(begin);
  return elapsed.count();
}

void begin_capture(Stream) {
  emulator::capturing = true;
  emulator::recorded.clear();
}

Graph end_capture(Stream) {
  emulator::capturing = false;
  return new std::vector<std::function<void()>>(std::move(emulator::recorded));
}

void abandon_capture(Stream) noexcept {
  emulator::capturing = false;
  emulator::recorded.clear();
}

void launch_graph(Graph graph, Stream) {
  for (const auto& work : *static_cast<const std::vector<std::function<void()>>*>(graph)) work();
}

void destroy_graph(Graph graph) noexcept {
  delete static_cast<std::vector<std::function<void()>>*>(graph);
}

bool synchronises_launches() { return machine_state().launches_wait; }
std::string runtime_version() { return "emulator"; }
void check_launch(int, std::string (*)()) {}

}  // namespace cardiograd::cuda
