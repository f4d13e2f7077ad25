// Quantisation, embedding, and nearest upsampling.
#include <algorithm>
#include <cmath>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

// The row of the table that index i names.
std::int64_t row_of(const ConstView& indices, std::int64_t i, std::int64_t rows) {
  const std::int64_t row = indices.as<std::int32_t>()[i];
  if (row < 0 || row >= rows) {
    throw InputError("embedding: index " + std::to_string(row) + " lies outside a table of " +
                     std::to_string(rows) + " rows");
  }
  return row;
}

void check_upsampling(std::int64_t factor, const Dims& x, const Dims& y) {
  CG_CHECK(factor >= 1 && y == Dims({x[0], factor * x[1], x[2]}),
           "upsample_nearest: shapes " + x.to_string() + " and " + y.to_string() + " do not fit");
}

}  // namespace

void ReferenceBackend::embedding_forward(ConstView indices, ConstView weight, View y) {
  const std::int64_t width = weight.dims[1];
  CG_CHECK(y.numel() == indices.numel() * width, "embedding: y has the wrong size");
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    const std::int64_t row = row_of(indices, i, weight.dims[0]);
    for (std::int64_t c = 0; c < width; ++c) {
      y.as<double>()[i * width + c] = weight.as<double>()[row * width + c];
    }
  }
}

void ReferenceBackend::embedding_backward(ConstView indices, ConstView dy, View dweight) {
  const std::int64_t width = dweight.dims[1];
  CG_CHECK(dy.numel() == indices.numel() * width, "embedding: dy has the wrong size");
  fill(dweight, 0.0);
  for (std::int64_t i = 0; i < indices.numel(); ++i) {
    const std::int64_t row = row_of(indices, i, dweight.dims[0]);
    for (std::int64_t c = 0; c < width; ++c) {
      dweight.as<double>()[row * width + c] += dy.as<double>()[i * width + c];
    }
  }
}

void ReferenceBackend::quantize(const QuantizeSpec& spec, ConstView x, View y) {
  reference::check_same_shape(x.dims, y.dims);
  const auto [rows, channels] = reference::rows_of(x.dims);
  const double factor = static_cast<double>(spec.levels) / (spec.high - spec.low);
  for (std::int64_t i = 0; i < rows * channels; ++i) {
    const double value = x.as<double>()[i];
    const double level = std::isnan(value) ? 0.0 : std::floor((value - spec.low) * factor);
    const double kept = std::clamp(level, 0.0, static_cast<double>(spec.levels - 1));
    y.as<std::int32_t>()[i] = static_cast<std::int32_t>(kept) +
                              static_cast<std::int32_t>(i % channels * spec.channel_stride);
  }
}

void ReferenceBackend::upsample_nearest_forward(std::int64_t factor, ConstView x, View y) {
  const reference::Sequence in = reference::sequence_of(x.dims);
  const reference::Sequence out = reference::sequence_of(y.dims);
  check_upsampling(factor, x.dims, y.dims);
  for (std::int64_t n = 0; n < out.batch; ++n) {
    for (std::int64_t l = 0; l < out.length; ++l) {
      for (std::int64_t c = 0; c < out.channels; ++c) {
        y.as<double>()[out.at(n, l, c)] = x.as<double>()[in.at(n, l / factor, c)];
      }
    }
  }
}

void ReferenceBackend::upsample_nearest_backward(std::int64_t factor, ConstView dy, View dx) {
  const reference::Sequence in = reference::sequence_of(dx.dims);
  const reference::Sequence out = reference::sequence_of(dy.dims);
  check_upsampling(factor, dx.dims, dy.dims);
  fill(dx, 0.0);
  for (std::int64_t n = 0; n < out.batch; ++n) {
    for (std::int64_t l = 0; l < out.length; ++l) {
      for (std::int64_t c = 0; c < out.channels; ++c) {
        dx.as<double>()[in.at(n, l / factor, c)] += dy.as<double>()[out.at(n, l, c)];
      }
    }
  }
}

}  // namespace cardiograd
