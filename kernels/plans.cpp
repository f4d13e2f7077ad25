#include "kernels/plans.h"

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

Window window_of(std::string_view operation, const ConstView& whole, const ConstView& part,
                 int axis, std::int64_t start) {
  CG_CHECK(whole.dtype == part.dtype, std::string(operation) + ": the part holds " +
                                          std::string(name_of(part.dtype)) + ", the whole " +
                                          std::string(name_of(whole.dtype)));
  CG_CHECK(whole.dims.rank() == part.dims.rank(), misfit(operation, whole.dims, part.dims));
  const std::int64_t length = whole.dims[axis];
  const int along = axis < 0 ? axis + whole.dims.rank() : axis;
  Window window;
  auto inner = static_cast<std::int64_t>(size_of(whole.dtype));
  for (int i = 0; i < whole.dims.rank(); ++i) {
    CG_CHECK(i == along || whole.dims[i] == part.dims[i], misfit(operation, whole.dims, part.dims));
    if (i < along) window.rows *= whole.dims[i];
    if (i > along) inner *= whole.dims[i];
  }
  CG_CHECK(start >= 0 && start <= length && part.dims[along] <= length - start,
           std::string(operation) + ": " + std::to_string(part.dims[along]) + " from " +
               std::to_string(start) + " on does not lie within axis " + std::to_string(along) +
               " of shape " + whole.dims.to_string());
  window.run = part.dims[along] * inner;
  window.pitch = length * inner;
  window.offset = start * inner;
  return window;
}

void check_permutation(const Dims& x, const std::vector<int>& axes, const Dims& y) {
  CG_CHECK(static_cast<int>(axes.size()) == x.rank() && y.rank() == x.rank(),
           misfit("permute", x, y));
  std::array<bool, Dims::max_rank> seen{};
  for (int i = 0; i < x.rank(); ++i) {
    const int axis = axes[static_cast<std::size_t>(i)];
    CG_CHECK(axis >= 0 && axis < x.rank() && !seen[static_cast<std::size_t>(axis)],
             "permute: axes must name each axis of shape " + x.to_string() + " once");
    seen[static_cast<std::size_t>(axis)] = true;
    CG_CHECK(y[i] == x[axis], misfit("permute", x, y));
  }
}

PermutePlan plan_permute(const Dims& x, const std::vector<int>& axes) {
  std::array<std::int64_t, Dims::max_rank> strides{};
  std::int64_t stride = 1;
  for (int axis = x.rank() - 1; axis >= 0; --axis) {
    strides[static_cast<std::size_t>(axis)] = stride;
    stride *= x[axis];
  }
  PermutePlan plan;
  for (int axis : axes) {
    if (x[axis] == 1) continue;
    const std::int64_t x_stride = strides[static_cast<std::size_t>(axis)];
    const auto outer = static_cast<std::size_t>(plan.loops - 1);
    if (plan.loops > 0 && plan.x_stride[outer] == x_stride * x[axis]) {
      plan.size[outer] *= x[axis];
      plan.x_stride[outer] = x_stride;
      continue;
    }
    const auto next = static_cast<std::size_t>(plan.loops++);
    plan.size[next] = x[axis];
    plan.x_stride[next] = x_stride;
  }
  stride = 1;
  for (int loop = plan.loops - 1; loop >= 0; --loop) {
    plan.y_stride[static_cast<std::size_t>(loop)] = stride;
    stride *= plan.size[static_cast<std::size_t>(loop)];
  }
  return plan;
}

std::vector<AxisGroup> group_axes(const Dims& x, const Dims& y) {
  std::vector<AxisGroup> groups;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x[axis] == 1) continue;
    const bool reduced = y[axis] == 1;
    if (!groups.empty() && groups.back().reduced == reduced) {
      groups.back().size *= x[axis];
    } else {
      groups.push_back({x[axis], reduced});
    }
  }
  return groups;
}

MiddleShape last_reduced(const std::vector<AxisGroup>& groups, std::size_t& which) {
  MiddleShape shape;
  which = groups.size();
  for (std::size_t i = groups.size(); i-- > 0;) {
    if (which == groups.size() && groups[i].reduced) {
      which = i;
      shape.reduced = groups[i].size;
    } else if (which == groups.size()) {
      shape.inner *= groups[i].size;
    } else {
      shape.outer *= groups[i].size;
    }
  }
  return shape;
}

void check_keepdim(std::string_view operation, const Dims& whole, const Dims& part) {
  CG_CHECK(whole.rank() == part.rank(), misfit(operation, whole, part));
  for (int axis = 0; axis < whole.rank(); ++axis) {
    CG_CHECK(part[axis] == whole[axis] || part[axis] == 1, misfit(operation, whole, part));
  }
}

MiddleShape max_shape(std::string_view operation, const Dims& x, const Dims& y) {
  check_keepdim(operation, x, y);
  MiddleShape shape;
  int axes = 0;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x[axis] != y[axis]) {
      ++axes;
      shape.reduced = x[axis];
    } else {
      (axes == 0 ? shape.outer : shape.inner) *= x[axis];
    }
  }
  CG_CHECK(axes <= 1, misfit(operation, x, y) + ", one axis alone may be reduced");
  CG_CHECK(shape.reduced > 0 || y.numel() == 0,
           std::string(operation) + ": shape " + x.to_string() + " has an empty axis to reduce");
  return shape;
}

}  // namespace cardiograd
