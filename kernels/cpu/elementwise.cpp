// fill, copy, cast, accumulate, scale, and add and multiply with broadcasting.
#include <cstring>

#include "kernels/convert.h"
#include "kernels/cpu/broadcast.h"
#include "kernels/cpu/checks.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {
namespace {

// Bytes that repay a thread's wake-up in a plain copy.
constexpr std::int64_t copy_grain = 128 * 1024;

struct Add {
  float operator()(float a, float b) const { return a + b; }
};
struct Multiply {
  float operator()(float a, float b) const { return a * b; }
};

// y = op(a, b) over one run; y may be a or b, so no pointer is restrict.
template <class Operation>
void combine_run(const float* a, const float* b, float* y, std::int64_t count, std::int64_t a_step,
                 std::int64_t b_step) {
  const Operation operation;
  if (a_step != 0 && b_step != 0) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) y[i] = operation(a[i], b[i]);
  } else if (a_step != 0) {
    const float right = *b;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) y[i] = operation(a[i], right);
  } else if (b_step != 0) {
    const float left = *a;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) y[i] = operation(left, b[i]);
  } else {
    std::fill_n(y, count, operation(*a, *b));
  }
}

template <class Operation>
void combine(std::string_view name, const ConstView& a, const ConstView& b, const View& y) {
  require_f32(name, {a, b, y});
  const BroadcastPlan plan = plan_broadcast(name, a.dims, b.dims, y.dims);
  if (y.numel() == 0) return;
  const float* left = floats(a);
  const float* right = floats(b);
  float* out = floats(y);
  for_each_run(plan, [&](std::int64_t a_offset, std::int64_t b_offset, std::int64_t y_offset,
                         std::int64_t count, std::int64_t a_step, std::int64_t b_step) {
    combine_run<Operation>(left + a_offset, right + b_offset, out + y_offset, count, a_step,
                           b_step);
  });
}

template <class From, class To>
void convert_all(const From* x, To* y, std::int64_t count) {
  parallel_for(count, parallel_grain, [=](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) y[i] = convert_element<To>(x[i]);
  });
}

}  // namespace

void CpuBackend::fill(View y, double value) {
  dispatch(y.dtype, [&](auto element) {
    using T = decltype(element);
    const T converted = convert_element<T>(value);
    T* out = static_cast<T*>(y.data);
    parallel_for(y.numel(), parallel_grain, [=](std::int64_t begin, std::int64_t end) {
      std::fill(out + begin, out + end, converted);
    });
  });
}

void CpuBackend::copy(ConstView x, View y) {
  CG_CHECK(x.dtype == y.dtype, "copy: cannot copy " + std::string(name_of(x.dtype)) + " to " +
                                   std::string(name_of(y.dtype)) + ", use cast");
  CG_CHECK(x.numel() == y.numel(), misfit("copy", x.dims, y.dims));
  const auto* from = static_cast<const unsigned char*>(x.data);
  auto* to = static_cast<unsigned char*>(y.data);
  parallel_for(static_cast<std::int64_t>(x.bytes()), copy_grain,
               [=](std::int64_t begin, std::int64_t end) {
                 std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin));
               });
}

void CpuBackend::cast(ConstView x, View y) {
  CG_CHECK(x.numel() == y.numel(), misfit("cast", x.dims, y.dims));
  if (x.dtype == y.dtype) {
    copy(x, y);
    return;
  }
  dispatch(x.dtype, [&](auto from) {
    dispatch(y.dtype, [&](auto to) {
      convert_all(static_cast<const decltype(from)*>(x.data), static_cast<decltype(to)*>(y.data),
                  x.numel());
    });
  });
}

void CpuBackend::accumulate(ConstView x, View y) {
  require_f32("accumulate", {x, y});
  require_same_shape("accumulate", x.dims, y.dims);
  const float* from = floats(x);
  float* to = floats(y);
  parallel_for(x.numel(), parallel_grain, [=](std::int64_t begin, std::int64_t end) {
    combine_run<Add>(from + begin, to + begin, to + begin, end - begin, 1, 1);
  });
}

void CpuBackend::scale(ConstView x, double alpha, View y) {
  require_f32("scale", {x, y});
  require_same_shape("scale", x.dims, y.dims);
  const float* from = floats(x);
  float* to = floats(y);
  const auto factor = static_cast<float>(alpha);
  parallel_for(x.numel(), parallel_grain, [=, &factor](std::int64_t begin, std::int64_t end) {
    combine_run<Multiply>(from + begin, &factor, to + begin, end - begin, 1, 0);
  });
}

void CpuBackend::add(ConstView a, ConstView b, View y) { combine<Add>("add", a, b, y); }

void CpuBackend::multiply(ConstView a, ConstView b, View y) {
  combine<Multiply>("multiply", a, b, y);
}

}  // namespace cardiograd
