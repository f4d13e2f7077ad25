// slice, place, permute: elements are moved as bytes, whatever their dtype.
#include <cstring>

#include "tests/reference/reference_backend.h"

namespace cardiograd {

namespace {

// Visits each element of a part of `whole` that starts at `start` on `axis`:
// visit(offset in the part, offset in the whole), in elements.
template <class Visit>
void for_each_of_part(const Dims& part, const Dims& whole, int axis, std::int64_t start,
                      Visit visit) {
  CG_CHECK(part.rank() == whole.rank() && axis >= 0 && axis < whole.rank(),
           "axis " + std::to_string(axis) + " of " + whole.to_string() + " has no part " +
               part.to_string());
  for (int i = 0; i < whole.rank(); ++i) {
    CG_CHECK(i == axis || part[i] == whole[i],
             part.to_string() + " is no part of " + whole.to_string());
  }
  CG_CHECK(start >= 0 && start + part[axis] <= whole[axis],
           "the part from " + std::to_string(start) + " with shape " + part.to_string() +
               " runs outside " + whole.to_string());
  for (std::int64_t index = 0; index < part.numel(); ++index) {
    std::int64_t rest = index;
    std::int64_t offset = 0;
    std::int64_t stride = 1;
    for (int i = whole.rank() - 1; i >= 0; --i) {
      offset += (rest % part[i] + (i == axis ? start : 0)) * stride;
      rest /= part[i];
      stride *= whole[i];
    }
    visit(index, offset);
  }
}

void move_element(ConstView from, std::int64_t source, View to, std::int64_t target) {
  const std::size_t size = size_of(from.dtype);
  std::memcpy(static_cast<char*>(to.data) + static_cast<std::size_t>(target) * size,
              static_cast<const char*>(from.data) + static_cast<std::size_t>(source) * size, size);
}

}  // namespace

void ReferenceBackend::slice(ConstView x, int axis, std::int64_t start, View part) {
  CG_CHECK(x.dtype == part.dtype, "slice keeps the dtype");
  for_each_of_part(part.dims, x.dims, axis < 0 ? axis + x.dims.rank() : axis, start,
                   [&](std::int64_t in_part, std::int64_t in_whole) {
                     move_element(x, in_whole, part, in_part);
                   });
}

void ReferenceBackend::place(ConstView part, int axis, std::int64_t start, View y) {
  CG_CHECK(part.dtype == y.dtype, "place keeps the dtype");
  for_each_of_part(part.dims, y.dims, axis < 0 ? axis + y.dims.rank() : axis, start,
                   [&](std::int64_t in_part, std::int64_t in_whole) {
                     move_element(part, in_part, y, in_whole);
                   });
}

void ReferenceBackend::permute(ConstView x, const std::vector<int>& axes, View y) {
  const int rank = x.dims.rank();
  CG_CHECK(x.dtype == y.dtype, "permute keeps the dtype");
  CG_CHECK(static_cast<int>(axes.size()) == rank && y.dims.rank() == rank,
           "permute names each axis of " + x.dims.to_string() + " once");
  std::vector<std::int64_t> stride(axes.size(), 0);  // of y's axes, in x
  unsigned seen = 0;
  for (int i = 0; i < rank; ++i) {
    const int axis = axes[static_cast<std::size_t>(i)];
    CG_CHECK(axis >= 0 && axis < rank && (seen >> axis & 1U) == 0,
             "permute names each axis of " + x.dims.to_string() + " once");
    CG_CHECK(y.dims[i] == x.dims[axis], "the permuted shape is not " + y.dims.to_string());
    seen |= 1U << axis;
    stride[static_cast<std::size_t>(i)] = 1;
    for (int j = axis + 1; j < rank; ++j) stride[static_cast<std::size_t>(i)] *= x.dims[j];
  }
  for (std::int64_t index = 0; index < y.numel(); ++index) {
    std::int64_t rest = index;
    std::int64_t offset = 0;
    for (int i = rank - 1; i >= 0; --i) {
      offset += rest % y.dims[i] * stride[static_cast<std::size_t>(i)];
      rest /= y.dims[i];
    }
    move_element(x, offset, y, index);
  }
}

}  // namespace cardiograd
