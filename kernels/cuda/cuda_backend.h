// The door to CUDA. Implemented by cuda_backend.cpp where a toolkit was found, by stub.cpp
// elsewhere.
#pragma once

#include <memory>
#include <string>

#include "kernels/dtype.h"

namespace cardiograd {

class Backend;
struct TimedDevice;

// Throws DeviceError: no support in this build, no driver, no such device.
std::shared_ptr<Backend> make_cuda_backend(int index);

// The backend as far as its kernels go, for their tests and benchmarks: an operation without one
// throws DeviceError by name. `floating` is f32, or bf16 for bf16 storage.
std::shared_ptr<Backend> make_cuda_kernel_backend(int index, DType floating);

// The same with a timer (kernels/device_timer.h).
TimedDevice make_timed_cuda_device(int index);

// "cuda 13.0 (...)", or why there is none.
std::string cuda_backend_description();

}  // namespace cardiograd
