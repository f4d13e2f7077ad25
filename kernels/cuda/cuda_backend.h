// The door to CUDA. Implemented by cuda_backend.cpp where a toolkit was found, by stub.cpp
// elsewhere.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/plan_cache.h"
#include "kernels/dtype.h"

namespace cardiograd {

class Backend;
struct BackendOptions;
struct TimedDevice;

// Throws DeviceError: no support in this build, no driver, no such device. Computes in f32. Throws
// InputError for what the environment asks for (kernels/cuda/planner.h).
std::shared_ptr<Backend> make_cuda_backend(int index, const BackendOptions& options);
// `floating` is f32, or bf16 for bf16 storage.
std::shared_ptr<Backend> make_cuda_backend(int index, DType floating,
                                           const cuda::PlanOptions& plans);

// The same with our own kernels alone, for their tests and benchmarks.
std::shared_ptr<Backend> make_cuda_kernel_backend(int index, DType floating);

// The same with a timer (kernels/device_timer.h).
TimedDevice make_timed_cuda_device(int index);

// "cuda 13.0 (...)", or why there is none.
std::string cuda_backend_description();

}  // namespace cardiograd
