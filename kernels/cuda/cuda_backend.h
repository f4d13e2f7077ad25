// The door to CUDA. Implemented by device.cpp where a toolkit was found, by stub.cpp elsewhere.
#pragma once

#include <memory>
#include <string>

namespace cardiograd {

class Backend;

// Throws DeviceError: no support in this build, no driver, no such device.
std::shared_ptr<Backend> make_cuda_backend(int index);

// "cuda 13.0 (...)", or why there is none.
std::string cuda_backend_description();

}  // namespace cardiograd
