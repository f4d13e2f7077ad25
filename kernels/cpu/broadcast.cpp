#include "kernels/cpu/broadcast.h"

namespace cardiograd {
namespace {

// Strides of `dims` along the axes of `y`, right-aligned; 0 where an axis is broadcast.
std::array<std::int64_t, Dims::max_rank> strides_along(std::string_view operation, const Dims& dims,
                                                       const Dims& y) {
  std::array<std::int64_t, Dims::max_rank> strides{};
  CG_CHECK(dims.rank() <= y.rank(), misfit(operation, dims, y));
  std::int64_t stride = 1;
  for (int axis = dims.rank() - 1; axis >= 0; --axis) {
    const int target = axis + y.rank() - dims.rank();
    CG_CHECK(dims[axis] == y[target] || dims[axis] == 1, misfit(operation, dims, y));
    strides[static_cast<std::size_t>(target)] = dims[axis] == 1 ? 0 : stride;
    stride *= dims[axis];
  }
  return strides;
}

}  // namespace

BroadcastPlan plan_broadcast(std::string_view operation, const Dims& a, const Dims& b,
                             const Dims& y) {
  const auto a_strides = strides_along(operation, a, y);
  const auto b_strides = strides_along(operation, b, y);
  BroadcastPlan plan;
  for (int axis = 0; axis < y.rank(); ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    if (y[axis] == 1) continue;
    if (plan.loops > 0) {
      const auto outer = static_cast<std::size_t>(plan.loops - 1);
      if (plan.a_stride[outer] == a_strides[at] * y[axis] &&
          plan.b_stride[outer] == b_strides[at] * y[axis]) {
        plan.size[outer] *= y[axis];
        plan.a_stride[outer] = a_strides[at];
        plan.b_stride[outer] = b_strides[at];
        continue;
      }
    }
    const auto next = static_cast<std::size_t>(plan.loops++);
    plan.size[next] = y[axis];
    plan.a_stride[next] = a_strides[at];
    plan.b_stride[next] = b_strides[at];
  }
  if (plan.loops == 0) {
    plan.loops = 1;
    plan.size[0] = y.numel();
  }
  return plan;
}

}  // namespace cardiograd
