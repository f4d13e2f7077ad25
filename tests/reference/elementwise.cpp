// fill, copy, cast, accumulate, scale, add, multiply.
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

using reference::broadcast_offset;
using reference::check_broadcasts;
using reference::check_same_shape;

template <class T>
double to_double(T value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return static_cast<double>(static_cast<float>(value));
  } else {
    return static_cast<double>(value);
  }
}

// Integers round to nearest even; what does not fit goes to the nearest end, and NaN to 0.
template <class T>
T from_double(double value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return BFloat16(static_cast<float>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    if (std::isnan(value)) return T{0};
    const double rounded = std::nearbyint(value);
    if (rounded <= static_cast<double>(std::numeric_limits<T>::min())) {
      return std::numeric_limits<T>::min();
    }
    if (rounded >= static_cast<double>(std::numeric_limits<T>::max())) {
      return std::numeric_limits<T>::max();
    }
    return static_cast<T>(rounded);
  }
}

}  // namespace

void ReferenceBackend::fill(View y, double value) {
  dispatch(y.dtype, [&](auto element) {
    using T = decltype(element);
    for (std::int64_t i = 0; i < y.numel(); ++i) y.as<T>()[i] = from_double<T>(value);
  });
}

void ReferenceBackend::copy(ConstView x, View y) {
  CG_CHECK(x.dtype == y.dtype, "copy keeps the dtype: cast changes it");
  CG_CHECK(x.numel() == y.numel(), "cannot copy " + x.dims.to_string() + " to " +
                                       y.dims.to_string() + ": the element counts differ");
  if (x.bytes() > 0) std::memcpy(y.data, x.data, x.bytes());
}

void ReferenceBackend::cast(ConstView x, View y) {
  check_same_shape(x.dims, y.dims);
  dispatch(x.dtype, [&](auto from) {
    dispatch(y.dtype, [&](auto to) {
      using From = decltype(from);
      using To = decltype(to);
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        y.as<To>()[i] = from_double<To>(to_double(x.as<From>()[i]));
      }
    });
  });
}

void ReferenceBackend::accumulate(ConstView x, View y) {
  check_same_shape(x.dims, y.dims);
  const double* from = x.as<double>();
  double* to = y.as<double>();
  for (std::int64_t i = 0; i < x.numel(); ++i) to[i] += from[i];
}

void ReferenceBackend::scale(ConstView x, double alpha, View y) {
  check_same_shape(x.dims, y.dims);
  const double* from = x.as<double>();
  double* to = y.as<double>();
  for (std::int64_t i = 0; i < x.numel(); ++i) to[i] = alpha * from[i];
}

void ReferenceBackend::add(ConstView a, ConstView b, View y) {
  check_broadcasts(a.dims, y.dims);
  check_broadcasts(b.dims, y.dims);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    y.as<double>()[i] = a.as<double>()[broadcast_offset(a.dims, y.dims, i)] +
                        b.as<double>()[broadcast_offset(b.dims, y.dims, i)];
  }
}

void ReferenceBackend::multiply(ConstView a, ConstView b, View y) {
  check_broadcasts(a.dims, y.dims);
  check_broadcasts(b.dims, y.dims);
  for (std::int64_t i = 0; i < y.numel(); ++i) {
    y.as<double>()[i] = a.as<double>()[broadcast_offset(a.dims, y.dims, i)] *
                        b.as<double>()[broadcast_offset(b.dims, y.dims, i)];
  }
}

}  // namespace cardiograd
