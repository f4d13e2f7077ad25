// IEEE 754 binary16, as files hold it. Nothing is computed in it.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace cardiograd {

struct Half {
  std::uint16_t bits = 0;
  explicit operator double() const {
    const int exponent = bits >> 10 & 0x1F;
    const int fraction = bits & 0x3FF;
    double magnitude = 0.0;
    if (exponent == 0x1F) {
      magnitude = fraction == 0 ? std::numeric_limits<double>::infinity()
                                : std::numeric_limits<double>::quiet_NaN();
    } else if (exponent == 0) {
      magnitude = std::ldexp(fraction, -24);
    } else {
      magnitude = std::ldexp(fraction + 0x400, exponent - 25);
    }
    return bits & 0x8000 ? -magnitude : magnitude;
  }
};

}  // namespace cardiograd
