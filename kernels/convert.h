// One element's conversion between dtypes. Floats round to nearest even. To integers: nearest even
// as well, values out of range saturate, NaN becomes 0.
#pragma once

#include <bit>
#include <limits>
#include <type_traits>

#include "kernels/dtype.h"

namespace cardiograd {

template <class To, class From>
constexpr To convert_element(From value) {
  if constexpr (std::is_same_v<From, BFloat16>) {
    return convert_element<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, BFloat16>) {
    return BFloat16(static_cast<float>(value));
  } else if constexpr (std::is_floating_point_v<To> || std::is_same_v<To, From>) {
    return static_cast<To>(value);
  } else {
    // Every source fits a double; adding 1.5 * 2^52 leaves the rounded integer in the low bits.
    constexpr double to_integer = 6755399441055744.0;
    constexpr double lowest = std::numeric_limits<To>::min();
    constexpr double highest = std::numeric_limits<To>::max();
    double wide = static_cast<double>(value);
    wide = wide == wide ? wide : 0.0;
    wide = wide < lowest ? lowest : wide;
    wide = wide > highest ? highest : wide;
    return static_cast<To>(
        static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(wide + to_integer)));
  }
}

}  // namespace cardiograd
