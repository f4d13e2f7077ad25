// The epoch of random draws. A step that is recorded once and replayed in later epochs reads it
// where it lies on the device; elsewhere `epoch` is null and the key's own counts.
#pragma once

#include <cstdint>

#include "kernels/augment.h"
#include "kernels/cuda/launch.h"
#include "kernels/philox.h"

namespace cardiograd::cuda {

CG_DEVICE RandomKey as_of(RandomKey key, const std::uint32_t* epoch) {
  if (epoch != nullptr) key.epoch = *epoch;
  return key;
}

CG_DEVICE AugmentSpec as_of(AugmentSpec spec, const std::uint32_t* epoch) {
  if (epoch != nullptr) spec.epoch = *epoch;
  return spec;
}

}  // namespace cardiograd::cuda
