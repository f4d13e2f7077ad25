// exp, tanh, logarithms, sine and cosine, and the normal distribution for float32, written without
// branches so that the compiler vectorises the loops that call them. Relative errors are at most
// about 3e-7 (measured in tests/kernels/cpu_ops_test.cpp). NaN in gives NaN out. The polynomials
// were fitted for this file by iteratively reweighted least squares in relative error (Lawson's
// algorithm).
#pragma once

#include <bit>
#include <cstdint>

namespace cardiograd::vector_math {

// e^x: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial for e^r, and 2^n in two factors so that
// both infinity and subnormal results come out right.
inline float exp(float x) {
  x = x > 89.0F ? 89.0F : x;
  x = x < -104.0F ? -104.0F : x;
  constexpr float to_integer = 12582912.0F;  // 1.5 * 2^23: adding it rounds to the nearest integer
  const float shifted = x * 1.44269504F + to_integer;
  const float n = shifted - to_integer;
  const float r = (x - n * 0.693145752F) - n * 1.42860677e-6F;
  float p = 1.3814309e-3F;
  p = p * r + 8.368856e-3F;
  p = p * r + 4.16684e-2F;
  p = p * r + 0.1666652F;
  p = p * r + 0.49999994F;
  p = (p * r) * r + r + 1.0F;
  const std::int32_t exponent = static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) -
                                                          std::bit_cast<std::uint32_t>(to_integer));
  const std::int32_t half = exponent >> 1;
  const auto power = [](std::int32_t k) {
    return std::bit_cast<float>((static_cast<std::uint32_t>(k) + 127U) << 23);
  };
  return p * power(half) * power(exponent - half);
}

inline float magnitude(float x) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0x7fffffffU);
}

inline float sigmoid(float x) { return 1.0F / (1.0F + exp(-x)); }

// An odd polynomial near 0, 1 - 2 / (e^2|x| + 1) elsewhere.
inline float tanh(float x) {
  const float a = magnitude(x);
  const float square = x * x;
  float p = -0.0055910167F;
  p = p * square + 0.02053882F;
  p = p * square - 0.053709656F;
  p = p * square + 0.13331093F;
  p = p * square - 0.3333327F;
  const float near = x + x * (square * p);
  const float far = 1.0F - 2.0F / (exp(a + a) + 1.0F);
  const float signed_far = x < 0.0F ? -far : far;
  return a < 0.625F ? near : signed_far;
}

// log(1 + z) for z in [0, 1], as 2 artanh(z / (2 + z)).
inline float log1p_unit(float z) {
  const float s = z / (2.0F + z);
  const float square = s * s;
  float p = 0.28011987F;
  p = p * square + 0.28001806F;
  p = p * square + 0.40021527F;
  p = p * square + 0.6666642F;
  return s + (s + s * (square * p));
}

// The normal distribution: cdf(x) = Phi(x), and its density. Phi(-a) = e^(-a^2/2) q(1 / (1 + 0.35
// a)) for a >= 0, which keeps relative accuracy in the lower tail.
struct Normal {
  float cdf;
  float density;
};
inline Normal normal(float x) {
  float a = magnitude(x);
  a = a > 15.0F ? 15.0F : a;
  const float e = exp(-0.5F * a * a);
  const float t = 1.0F / (1.0F + 0.35F * a);
  float q = -0.029157875F;
  q = q * t + 0.14403087F;
  q = q * t - 0.2558389F;
  q = q * t + 0.15931958F;
  q = q * t - 0.023212273F;
  q = q * t + 0.10555247F;
  q = q * t + 0.119821295F;
  q = q * t + 0.13986352F;
  q = q * t + 0.1396213F;
  const float tail = e * (q * t);
  return {x > 0.0F ? 1.0F - tail : tail, 0.398942280F * e};
}

// log(x) for x in (0, 1], no subnormals: x = 2^n m with m in [sqrt(1/2), sqrt(2)), and 2 artanh((m
// - 1) / (m + 1)) for log m.
constexpr float log_unit(float x) {
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t n = (bits - 0x3f3504f3) >> 23;
  const float m = std::bit_cast<float>(bits - n * (1 << 23));
  const float s = (m - 1.0F) / (m + 1.0F);
  const float square = s * s;
  float p = 0.2987099F;
  p = p * square + 0.39977571F;
  p = p * square + 0.66666776F;
  return static_cast<float>(n) * 0.69314718F + (s + s + s * (square * p));
}

// Sine and cosine of 2 pi turns / 2^32. The angle is folded by half a turn into [-1/4, 1/4) turns
// in integers, which costs no accuracy however large it is.
struct SineCosine {
  float sine;
  float cosine;
};
constexpr SineCosine sine_cosine(std::uint32_t turns) {
  const std::int32_t folded = static_cast<std::int32_t>(turns << 1) >> 1;
  const std::uint32_t sign = turns - static_cast<std::uint32_t>(folded);  // 0 or half a turn
  const float x = static_cast<float>(folded) * 0x1p-32F;
  const float square = x * x;
  float s = 39.710945F;
  s = s * square - 76.574997F;
  s = s * square + 81.602234F;
  s = s * square - 41.341679F;
  s = s * square + 6.2831855F;
  float c = 56.242428F;
  c = c * square - 85.240334F;
  c = c * square + 64.934593F;
  c = c * square - 19.739172F;
  c = c * square + 0.99999994F;
  const auto flip = [sign](float value) {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ sign);
  };
  return {flip(s * x), flip(c)};
}

}  // namespace cardiograd::vector_math
