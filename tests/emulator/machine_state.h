// The machine that the emulated runtime pretends to be: tests change it to meet its bad days.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace cardiograd::emulator {

struct MachineState {
  std::string driver_trouble;  // what cudaGetDeviceCount would complain of
  int devices = 1;
  int capability_major = 9;
  int capability_minor = 0;
  std::size_t memory = std::size_t{1} << 34;  // bytes of each device
  // A kernel of this name fails as an illegal address does: at its launch where launches wait, else
  // at the next call that waits for a stream.
  std::string failing_kernel;
  bool launches_wait = false;
};

MachineState& machine_state();

// Told of each launch.
void kernel_was_launched(const std::string& name);

// Between cuda::begin_capture and end_capture of this thread.
bool is_capturing();
// What a stream is asked for: done at once, or recorded for each replay of the graph.
void run_or_record(std::function<void()> work);

// How often a stream was made to wait for another's event.
std::size_t waits_between_streams();

}  // namespace cardiograd::emulator
