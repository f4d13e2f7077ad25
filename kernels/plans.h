// How an operation on shapes becomes loops over memory: the part of broadcasting, slicing,
// permuting and reducing that is the same on every device. All of it throws ShapeError for shapes
// that do not fit, in the name of `operation`.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/checks.h"

namespace cardiograd {

// ---- Broadcasting -------------------------------------------------------------------------------

// The output as nested loops, innermost last; an operand's stride along a loop is in elements, and
// 0 where it is broadcast. Neighbouring axes that both operands walk alike are one loop.
struct BroadcastPlan {
  int loops = 0;
  std::array<std::int64_t, Dims::max_rank> size{};
  std::array<std::int64_t, Dims::max_rank> a_stride{};
  std::array<std::int64_t, Dims::max_rank> b_stride{};
};

// Throws ShapeError unless a and b broadcast to y.
BroadcastPlan plan_broadcast(std::string_view operation, const Dims& a, const Dims& b,
                             const Dims& y);

// ---- Movement -----------------------------------------------------------------------------------

// A part of a tensor along one axis: `rows` runs of `run` bytes, `pitch` bytes apart in the whole,
// from byte `offset`.
struct Window {
  std::int64_t rows = 1;
  std::int64_t run = 0;
  std::int64_t pitch = 0;
  std::int64_t offset = 0;
};

Window window_of(std::string_view operation, const ConstView& whole, const ConstView& part,
                 int axis, std::int64_t start);

// A permutation as loops over the output, innermost last, without axes of size 1 and with
// neighbours joined that stay neighbours. Strides are those of the input, in elements.
struct PermutePlan {
  int loops = 0;
  std::array<std::int64_t, Dims::max_rank> size{};
  std::array<std::int64_t, Dims::max_rank> x_stride{};
  std::array<std::int64_t, Dims::max_rank> y_stride{};
};

// axes must be a permutation that takes x to y.
void check_permutation(const Dims& x, const std::vector<int>& axes, const Dims& y);
PermutePlan plan_permute(const Dims& x, const std::vector<int>& axes);

// ---- Reductions ---------------------------------------------------------------------------------

// x as [outer, reduced, inner], contiguous.
struct MiddleShape {
  std::int64_t outer = 1;
  std::int64_t reduced = 1;
  std::int64_t inner = 1;
};

// Runs of neighbouring axes that are all reduced or all kept, joined; axes of size 1 left out.
struct AxisGroup {
  std::int64_t size = 1;
  bool reduced = false;
};

std::vector<AxisGroup> group_axes(const Dims& x, const Dims& y);

// The last group that is reduced, as the middle of three.
MiddleShape last_reduced(const std::vector<AxisGroup>& groups, std::size_t& which);

// part is whole with size 1 on some axes.
void check_keepdim(std::string_view operation, const Dims& whole, const Dims& part);

// The shape around the one axis that y reduces; [numel, 1, 1] where y has x's shape.
MiddleShape max_shape(std::string_view operation, const Dims& x, const Dims& y);

}  // namespace cardiograd
