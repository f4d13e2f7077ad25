// Maximum, average and adaptive average over time.
#include <cmath>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

using reference::check_same_shape;
using reference::Sequence;
using reference::sequence_of;

void check_pool(const Pool1dSpec& spec, const Sequence& x, const Sequence& y) {
  CG_CHECK(
      spec.kernel > 0 && spec.stride > 0 && spec.padding >= 0 && 2 * spec.padding <= spec.kernel,
      "a pooling kernel and stride are positive, its padding is at most half the kernel");
  CG_CHECK(
      x.batch == y.batch && x.channels == y.channels && y.length == spec.output_length(x.length),
      "the pooled length of " + std::to_string(x.length) + " is " +
          std::to_string(spec.output_length(x.length)) + ", got " + std::to_string(y.length));
}

// visit(n, t, c): once for each element of a sequence.
template <class Visit>
void for_each_element(const Sequence& shape, Visit visit) {
  for (std::int64_t n = 0; n < shape.batch; ++n) {
    for (std::int64_t t = 0; t < shape.length; ++t) {
      for (std::int64_t c = 0; c < shape.channels; ++c) visit(n, t, c);
    }
  }
}

void set_zero(View y) {
  for (std::int64_t i = 0; i < y.numel(); ++i) y.as<double>()[i] = 0.0;
}

// Inputs begin .. end - 1 that output t of an adaptive pooling averages.
struct Window {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

Window adaptive_window(std::int64_t t, std::int64_t inputs, std::int64_t outputs) {
  return {t * inputs / outputs, ((t + 1) * inputs + outputs - 1) / outputs};
}

}  // namespace

void ReferenceBackend::max_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y, View index) {
  const Sequence from = sequence_of(x.dims);
  const Sequence to = sequence_of(y.dims);
  check_pool(spec, from, to);
  check_same_shape(y.dims, index.dims);
  for_each_element(to, [&](std::int64_t n, std::int64_t t, std::int64_t c) {
    double maximum = -INFINITY;
    std::int64_t best = -1;
    for (std::int64_t j = 0; j < spec.kernel; ++j) {
      const std::int64_t at = t * spec.stride + j - spec.padding;
      if (at < 0 || at >= from.length) continue;
      const double value = x.as<double>()[from.at(n, at, c)];
      if (best < 0 || value > maximum || (std::isnan(value) && !std::isnan(maximum))) {
        maximum = value;
        best = at;
      }
    }
    y.as<double>()[to.at(n, t, c)] = maximum;
    index.as<std::int32_t>()[to.at(n, t, c)] = static_cast<std::int32_t>(best);
  });
}

void ReferenceBackend::max_pool1d_backward(const Pool1dSpec& spec, ConstView index, ConstView dy,
                                           View dx) {
  const Sequence from = sequence_of(dx.dims);
  const Sequence to = sequence_of(dy.dims);
  check_pool(spec, from, to);
  check_same_shape(dy.dims, index.dims);
  set_zero(dx);
  for_each_element(to, [&](std::int64_t n, std::int64_t t, std::int64_t c) {
    const std::int64_t at = index.as<std::int32_t>()[to.at(n, t, c)];
    CG_CHECK(at >= 0 && at < from.length, "index " + std::to_string(at) + " is no time step");
    dx.as<double>()[from.at(n, at, c)] += dy.as<double>()[to.at(n, t, c)];
  });
}

void ReferenceBackend::avg_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y) {
  const Sequence from = sequence_of(x.dims);
  const Sequence to = sequence_of(y.dims);
  check_pool(spec, from, to);
  for_each_element(to, [&](std::int64_t n, std::int64_t t, std::int64_t c) {
    double total = 0.0;
    for (std::int64_t j = 0; j < spec.kernel; ++j) {
      const std::int64_t at = t * spec.stride + j - spec.padding;
      if (at >= 0 && at < from.length) total += x.as<double>()[from.at(n, at, c)];
    }
    y.as<double>()[to.at(n, t, c)] = total / static_cast<double>(spec.kernel);
  });
}

void ReferenceBackend::avg_pool1d_backward(const Pool1dSpec& spec, ConstView dy, View dx) {
  const Sequence from = sequence_of(dx.dims);
  const Sequence to = sequence_of(dy.dims);
  check_pool(spec, from, to);
  set_zero(dx);
  for_each_element(to, [&](std::int64_t n, std::int64_t t, std::int64_t c) {
    for (std::int64_t j = 0; j < spec.kernel; ++j) {
      const std::int64_t at = t * spec.stride + j - spec.padding;
      if (at < 0 || at >= from.length) continue;
      dx.as<double>()[from.at(n, at, c)] +=
          dy.as<double>()[to.at(n, t, c)] / static_cast<double>(spec.kernel);
    }
  });
}

void ReferenceBackend::adaptive_avg_pool1d_forward(ConstView x, View y) {
  const Sequence from = sequence_of(x.dims);
  const Sequence to = sequence_of(y.dims);
  CG_CHECK(from.batch == to.batch && from.channels == to.channels,
           "pooling keeps batch and channels: " + x.dims.to_string() + " to " + y.dims.to_string());
  for_each_element(to, [&](std::int64_t n, std::int64_t t, std::int64_t c) {
    const Window window = adaptive_window(t, from.length, to.length);
    double total = 0.0;
    for (std::int64_t at = window.begin; at < window.end; ++at) {
      total += x.as<double>()[from.at(n, at, c)];
    }
    const std::int64_t count = window.end - window.begin;
    y.as<double>()[to.at(n, t, c)] = count > 0 ? total / static_cast<double>(count) : 0.0;
  });
}

void ReferenceBackend::adaptive_avg_pool1d_backward(ConstView dy, View dx) {
  const Sequence from = sequence_of(dx.dims);
  const Sequence to = sequence_of(dy.dims);
  CG_CHECK(
      from.batch == to.batch && from.channels == to.channels,
      "pooling keeps batch and channels: " + dx.dims.to_string() + " to " + dy.dims.to_string());
  set_zero(dx);
  for_each_element(to, [&](std::int64_t n, std::int64_t t, std::int64_t c) {
    const Window window = adaptive_window(t, from.length, to.length);
    for (std::int64_t at = window.begin; at < window.end; ++at) {
      dx.as<double>()[from.at(n, at, c)] +=
          dy.as<double>()[to.at(n, t, c)] / static_cast<double>(window.end - window.begin);
    }
  });
}

}  // namespace cardiograd
