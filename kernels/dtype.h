// Element types and their conversions.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cardiograd {

enum class DType : std::uint8_t { f32, f64, bf16, i16, i32, u8 };

// bfloat16: the upper half of a float32; round to nearest even, NaN stays NaN.
struct BFloat16 {
  std::uint16_t bits;

  // Trivial, as float's: shared memory of a GPU holds arrays of it. BFloat16{} is 0.
  BFloat16() = default;
  explicit constexpr BFloat16(float value) : bits(rounded(std::bit_cast<std::uint32_t>(value))) {}
  explicit constexpr operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }

 private:
  static constexpr std::uint16_t rounded(std::uint32_t raw) {
    const bool nan = (raw & 0x7fffffffU) > 0x7f800000U;  // stays quiet, with its sign
    return static_cast<std::uint16_t>(
        (nan ? raw | 0x400000U : raw + 0x7fffU + ((raw >> 16) & 1U)) >> 16);
  }
};

constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 8;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::i16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::f64:
      return "f64";
    case DType::bf16:
      return "bf16";
    case DType::i16:
      return "i16";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
  }
  return "?";
}

constexpr bool is_floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16;
}

// What holds means, deviations and the like of operands of `operands`: 8 bits of bf16 are too few.
constexpr DType statistics_dtype(DType operands) {
  return operands == DType::bf16 ? DType::f32 : operands;
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<std::int16_t> {
  static constexpr DType value = DType::i16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

// Calls f with a value-initialised element of the C++ type that dtype names: one loop serves them
// all.
template <class F>
constexpr decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f64:
      return f(double{});
    case DType::bf16:
      return f(BFloat16{});
    case DType::i16:
      return f(std::int16_t{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::u8:
      return f(std::uint8_t{});
    case DType::f32:
      break;
  }
  return f(float{});
}

}  // namespace cardiograd
