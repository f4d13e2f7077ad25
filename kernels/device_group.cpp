#include "kernels/device_group.h"

#include "kernels/backend.h"

namespace cardiograd {

bool wants_device_group(const Backend& backend) { return backend.name().starts_with("cuda"); }

}  // namespace cardiograd
