// sum, expand and the maximum over one axis.
#include <cmath>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

using reference::broadcast_offset;
using reference::check_broadcasts;
using reference::check_same_shape;

// An operand and its maximum over one axis, read as [before, axis, after].
struct ReducedAxis {
  std::int64_t before = 1;
  std::int64_t size = 1;
  std::int64_t after = 1;
};

// The axis where `reduced` has size 1 and `full` has not; none where the shapes agree.
ReducedAxis find_reduced_axis(const Dims& full, const Dims& reduced) {
  CG_CHECK(full.rank() == reduced.rank(),
           "the maximum of " + full.to_string() + " keeps its rank, got " + reduced.to_string());
  ReducedAxis result;
  bool found = false;
  for (int axis = 0; axis < full.rank(); ++axis) {
    if (full[axis] == reduced[axis]) {
      (found ? result.after : result.before) *= full[axis];
      continue;
    }
    CG_CHECK(reduced[axis] == 1 && !found, "the maximum of " + full.to_string() +
                                               " reduces one axis to 1, got " +
                                               reduced.to_string());
    found = true;
    result.size = full[axis];
  }
  CG_CHECK(result.size > 0 || reduced.numel() == 0,
           "nothing has no maximum: the reduced axis of " + full.to_string() + " is empty");
  return result;
}

}  // namespace

void ReferenceBackend::sum(ConstView x, double alpha, View y) {
  CG_CHECK(x.dims.rank() == y.dims.rank(), "a sum keeps the rank");
  check_broadcasts(y.dims, x.dims);
  double* to = y.as<double>();
  for (std::int64_t i = 0; i < y.numel(); ++i) to[i] = 0.0;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    to[broadcast_offset(y.dims, x.dims, i)] += x.as<double>()[i];
  }
  for (std::int64_t i = 0; i < y.numel(); ++i) to[i] *= alpha;
}

void ReferenceBackend::expand(ConstView x, double alpha, View y) {
  check_broadcasts(x.dims, y.dims);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    y.as<double>()[i] = alpha * x.as<double>()[broadcast_offset(x.dims, y.dims, i)];
  }
}

void ReferenceBackend::max_forward(ConstView x, View y, View index) {
  check_same_shape(y.dims, index.dims);
  const ReducedAxis axis = find_reduced_axis(x.dims, y.dims);
  for (std::int64_t i = 0; i < axis.before; ++i) {
    for (std::int64_t k = 0; k < axis.after; ++k) {
      const double* from = x.as<double>() + i * axis.size * axis.after + k;
      std::int64_t best = 0;
      for (std::int64_t j = 1; j < axis.size; ++j) {
        const double value = from[j * axis.after];
        const double maximum = from[best * axis.after];
        if (value > maximum || (std::isnan(value) && !std::isnan(maximum))) best = j;
      }
      y.as<double>()[i * axis.after + k] = from[best * axis.after];
      index.as<std::int32_t>()[i * axis.after + k] = static_cast<std::int32_t>(best);
    }
  }
}

void ReferenceBackend::max_backward(ConstView dy, ConstView index, View dx) {
  check_same_shape(dy.dims, index.dims);
  const ReducedAxis axis = find_reduced_axis(dx.dims, dy.dims);
  for (std::int64_t i = 0; i < axis.before; ++i) {
    for (std::int64_t j = 0; j < axis.size; ++j) {
      for (std::int64_t k = 0; k < axis.after; ++k) {
        const std::int64_t at = i * axis.after + k;
        dx.as<double>()[(i * axis.size + j) * axis.after + k] =
            index.as<std::int32_t>()[at] == j ? dy.as<double>()[at] : 0.0;
      }
    }
  }
}

}  // namespace cardiograd
