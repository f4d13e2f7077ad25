// What a user reads when a device cannot be had or fails, the same on CUDA and on the emulator.
#pragma once

#include <string>

#include "kernels/error.h"

namespace cardiograd::cuda {

struct FoundDevices {
  int count = 0;
  std::string trouble;  // what the driver answered instead of a count
};

struct Capability {
  int major = 0;
  int minor = 0;
};

inline void require_device(int index, const FoundDevices& found) {
  if (!found.trouble.empty()) {
    throw DeviceError("no CUDA device can be used: " + found.trouble + "; use device = \"cpu\"");
  }
  if (index >= found.count) {
    throw DeviceError("device \"cuda:" + std::to_string(index) +
                      "\" does not exist: this machine has " + std::to_string(found.count) +
                      " CUDA device(s)");
  }
}

// The oldest GPUs whose code the kernels' PTX becomes.
inline void require_capability(int index, const Capability& capability) {
  if (capability.major >= 8) return;
  throw DeviceError("device \"cuda:" + std::to_string(index) + "\" has compute capability " +
                    std::to_string(capability.major) + "." + std::to_string(capability.minor) +
                    ", but 8.0 or later is needed: use device = \"cpu\"");
}

// Whose memory it is, in the sentence when there is no more.
inline std::string memory_name(int index) { return "GPU cuda:" + std::to_string(index); }

// A call that failed may tell of a kernel that was launched before it, unless every launch waits.
inline DeviceError failed_call(const std::string& what, const std::string& answer,
                               bool launches_wait) {
  return DeviceError(what + " failed: " + answer +
                     (launches_wait ? ""
                                    : "; the fault may be an earlier operation's: run again with "
                                      "CARDIOGRAD_CUDA_DEBUG=1 to have it named"));
}

}  // namespace cardiograd::cuda
