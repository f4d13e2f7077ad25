// Checks at the entry of every backend's operations.
#pragma once

#include <string>
#include <string_view>

#include "kernels/view.h"

namespace cardiograd {

// "add: shapes [2, 3] and [3] do not fit".
inline std::string misfit(std::string_view operation, const Dims& a, const Dims& b) {
  return std::string(operation) + ": shapes " + a.to_string() + " and " + b.to_string() +
         " do not fit";
}

// Throws ShapeError unless the shapes are equal.
inline void require_same_shape(std::string_view operation, const Dims& a, const Dims& b) {
  CG_CHECK(a == b, misfit(operation, a, b));
}

// Throws ShapeError unless `vector` is [size].
inline void require_vector(std::string_view operation, const Dims& vector, std::int64_t size) {
  CG_CHECK(vector == Dims{size}, misfit(operation, vector, Dims{size}));
}

}  // namespace cardiograd
