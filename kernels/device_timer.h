// A GPU with a clock of its own: for benchmarks of single operations, which the host's clock cannot
// time because it sees them queued, not done.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "kernels/backend.h"

namespace cardiograd {

// Marks in a backend's queue, between the operations that were asked for before and after them.
class DeviceTimer {
 public:
  DeviceTimer() = default;
  DeviceTimer(const DeviceTimer&) = delete;
  DeviceTimer& operator=(const DeviceTimer&) = delete;
  virtual ~DeviceTimer() = default;

  virtual void begin() = 0;
  virtual void end() = 0;
  // Waits until the end has been reached; what the device needed from begin to end.
  virtual double microseconds() = 0;
};

struct TimedDevice {
  std::shared_ptr<Backend> backend;    // its kernels alone, as make_cuda_kernel_backend's
  std::unique_ptr<DeviceTimer> timer;  // of the backend's queue
  std::string name;                    // "NVIDIA H200"
  std::size_t cache = 0;               // bytes that lie between the memory and all cores: the L2
};

// "cuda" or "cuda:N". Throws InputError for another device, DeviceError where the build or the
// machine lacks it.
TimedDevice make_timed_device(std::string_view device);

}  // namespace cardiograd
