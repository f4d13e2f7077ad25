// Checks at the entry of the CPU's operations.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "kernels/checks.h"

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

// Elements of a float operand; null for one that is absent or empty.
inline float* floats(const View& view) { return static_cast<float*>(view.data); }
inline const float* floats(const ConstView& view) { return static_cast<const float*>(view.data); }

}  // namespace cardiograd
