// A build without NCCL.
#include "kernels/backend.h"
#include "kernels/device_group.h"

namespace cardiograd {

namespace {

[[noreturn]] void refuse() {
  throw DeviceError(
      "this build has no NCCL, which several processes on GPUs need: install NCCL 2.28 or later "
      "beside CUDA and build again, or start one process");
}

}  // namespace

std::string device_group_library() { return "no NCCL"; }

DeviceGroupId make_device_group_id() { refuse(); }
DeviceGroupId make_device_group_id(const std::string&, int) { refuse(); }
std::unique_ptr<DeviceGroup> make_device_group(const std::shared_ptr<Backend>&, int, int,
                                               const DeviceGroupId&) {
  refuse();
}

}  // namespace cardiograd
