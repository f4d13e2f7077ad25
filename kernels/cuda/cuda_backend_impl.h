// CudaBackend's class, private to kernels/cuda. Its methods are defined one family a file: checks
// and plans on the host, then kernels, in the family's .cu. It computes in f32, or in bf16 storage
// with f32 arithmetic.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/block_cache.h"
#include "kernels/cuda/device.h"

namespace cardiograd {

class CudaBackend final : public Backend {
 public:
  // `floating`: what default_dtype says. Throws DeviceError where device `index` cannot be used.
  CudaBackend(int index, DType floating);
  ~CudaBackend() override;

  // Where its work is queued, for whoever must come before or after it.
  cuda::Stream stream() const { return device_.stream; }

#include "kernels/backend_overrides.inl"

 private:
  int index_;
  DType floating_;
  cuda::Device device_;
  BlockCache blocks_;
};

}  // namespace cardiograd
