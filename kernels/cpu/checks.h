// Checks at the entry of the CPU's operations.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "kernels/view.h"

namespace cardiograd {

// Throws DeviceError unless every operand that is there holds f32.
inline void require_f32(std::string_view operation, std::initializer_list<ConstView> operands) {
  for (const ConstView& operand : operands) {
    if (operand.dtype != DType::f32) {
      throw DeviceError(std::string(operation) + " on cpu computes in f32, got " +
                        std::string(name_of(operand.dtype)));
    }
  }
}

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

// Elements of a float operand; null for one that is absent or empty.
inline float* floats(const View& view) { return static_cast<float*>(view.data); }
inline const float* floats(const ConstView& view) { return static_cast<const float*>(view.data); }

}  // namespace cardiograd
