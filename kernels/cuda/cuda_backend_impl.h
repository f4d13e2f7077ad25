// CudaBackend's class, private to kernels/cuda. Its methods are defined one family a file: checks
// and plans on the host, then kernels, in the family's .cu. It computes in f32, or in bf16 storage
// with f32 arithmetic.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/block_cache.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/planner.h"

namespace cardiograd {

class CudaBackend final : public Backend {
 public:
  // `floating`: what default_dtype says. Throws DeviceError where device `index` cannot be used.
  CudaBackend(int index, DType floating);
  ~CudaBackend() override;

  // Lets libraries and measurement choose between them and our own kernels, from now on.
  void use_plans(const cuda::PlanOptions& options);

  // Where its work is queued, for whoever must come before or after it.
  cuda::Stream stream() const { return device_.stream; }

#include "kernels/backend_overrides.inl"

 private:
  template <class T, bool a_along_depth, bool b_along_depth>
  void multiply(std::string_view operation, cuda::ProductPlan plan, const cuda::PlanOperands& call);

  int index_;
  DType floating_;
  cuda::Device device_;
  BlockCache blocks_;
  std::unique_ptr<cuda::Planner> planner_;  // null: our own kernels alone
};

}  // namespace cardiograd
