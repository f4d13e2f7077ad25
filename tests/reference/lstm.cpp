// One direction of an LSTM layer, as the equations of kernels/backend.h.
#include <cmath>

#include "kernels/lstm_saved.h"
#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

struct LstmShape {
  LstmSpec spec;
  std::int64_t records = 0;
  std::int64_t length = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;

  std::int64_t time(std::int64_t step) const { return spec.reverse ? length - 1 - step : step; }
  std::int64_t x(std::int64_t n, std::int64_t t) const { return (n * length + t) * inputs; }
  // The first unit of a gate, of a cell, of an output.
  std::int64_t gate(std::int64_t n, std::int64_t t, int g) const {
    return ((t * records + n) * 4 + g) * units;
  }
  std::int64_t cell(std::int64_t n, std::int64_t t) const { return (t * records + n) * units; }
  std::int64_t y(std::int64_t n, std::int64_t t) const {
    return (spec.last_step ? n : n * length + t) * units;
  }
};

LstmShape check_lstm(const LstmSpec& spec, const Dims& x, const Dims& weight_ih,
                     const Dims& weight_hh, const Dims& y) {
  const auto [batch, length, inputs] = reference::sequence_of(x);
  CG_CHECK(weight_hh.rank() == 2, "weight_hh is [4H, H], got " + weight_hh.to_string());
  const std::int64_t units = weight_hh[1];
  reference::check_same_shape(weight_hh, {4 * units, units});
  reference::check_same_shape(weight_ih, {4 * units, inputs});
  reference::check_same_shape(y, spec.last_step ? Dims{batch, units} : Dims{batch, length, units});
  return {spec, batch, length, inputs, units};
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

using Values = std::vector<double>;

}  // namespace

void ReferenceBackend::lstm_forward(const LstmSpec& spec, ConstView x, ConstView weight_ih,
                                    ConstView weight_hh, ConstView bias_ih, ConstView bias_hh,
                                    View y, View saved) {
  const LstmShape shape = check_lstm(spec, x.dims, weight_ih.dims, weight_hh.dims, y.dims);
  const std::int64_t units = shape.units;
  reference::check_channels(bias_ih.dims, 4 * units);
  reference::check_channels(bias_hh.dims, 4 * units);
  const auto [gates, cells] = LstmParts<View>(saved, shape.records, shape.length, units);
  for (std::int64_t n = 0; n < shape.records; ++n) {
    Values h(static_cast<std::size_t>(units)), c(h), sums(4 * h.size());
    for (std::int64_t s = 0; s < shape.length; ++s) {
      const std::int64_t t = shape.time(s);
      for (std::int64_t row = 0; row < 4 * units; ++row) {
        double total = bias_ih.as<double>()[row] + bias_hh.as<double>()[row];
        for (std::int64_t i = 0; i < shape.inputs; ++i) {
          total +=
              weight_ih.as<double>()[row * shape.inputs + i] * x.as<double>()[shape.x(n, t) + i];
        }
        for (std::int64_t j = 0; j < units; ++j) {
          total += weight_hh.as<double>()[row * units + j] * h[static_cast<std::size_t>(j)];
        }
        const bool candidate = row / units == 2;
        sums[static_cast<std::size_t>(row)] = candidate ? std::tanh(total) : sigmoid(total);
      }
      for (std::size_t u = 0; u < h.size(); ++u) {
        c[u] = sums[h.size() + u] * c[u] + sums[u] * sums[2 * h.size() + u];
        h[u] = sums[3 * h.size() + u] * std::tanh(c[u]);
      }
      if (gates.present()) {
        std::copy(sums.begin(), sums.end(), gates.as<double>() + shape.gate(n, t, 0));
        std::copy(c.begin(), c.end(), cells.as<double>() + shape.cell(n, t));
      }
      if (!spec.last_step) std::copy(h.begin(), h.end(), y.as<double>() + shape.y(n, t));
    }
    if (spec.last_step) std::copy(h.begin(), h.end(), y.as<double>() + shape.y(n, 0));
  }
}

std::int64_t ReferenceBackend::lstm_saved_size(const LstmSpec&, ConstView x, std::int64_t units) {
  return lstm_parts_size(x.dims[0], x.dims[1], units);
}

void ReferenceBackend::lstm_backward(const LstmSpec& spec, ConstView x, ConstView weight_ih,
                                     ConstView weight_hh, View saved, ConstView dy, View dx,
                                     View dweight_ih, View dweight_hh, View dbias_ih,
                                     View dbias_hh) {
  const LstmShape shape = check_lstm(spec, x.dims, weight_ih.dims, weight_hh.dims, dy.dims);
  const std::int64_t units = shape.units;
  const LstmParts<ConstView> parts(saved, shape.records, shape.length, units);
  for (const View& gradient : {dweight_ih, dweight_hh, dbias_ih, dbias_hh}) fill(gradient, 0.0);
  if (dx.present()) fill(dx, 0.0);
  const auto gate = [&](std::int64_t n, std::int64_t t, int g, std::int64_t u) {
    return parts.gates.as<double>()[shape.gate(n, t, g) + u];
  };
  const auto cell = [&](std::int64_t n, std::int64_t s, std::int64_t u) {
    return s < 0 ? 0.0 : parts.cells.as<double>()[shape.cell(n, shape.time(s)) + u];
  };
  const auto hidden = [&](std::int64_t n, std::int64_t s, std::int64_t u) {
    return s < 0 ? 0.0 : gate(n, shape.time(s), 3, u) * std::tanh(cell(n, s, u));
  };
  for (std::int64_t n = 0; n < shape.records; ++n) {
    Values dh(static_cast<std::size_t>(units)), dc(dh), d(4 * dh.size());
    for (std::int64_t s = shape.length - 1; s >= 0; --s) {
      const std::int64_t t = shape.time(s);
      for (std::int64_t u = 0; u < units; ++u) {
        const std::size_t at = static_cast<std::size_t>(u);
        if (!spec.last_step || s == shape.length - 1) dh[at] += dy.as<double>()[shape.y(n, t) + u];
        const double i = gate(n, t, 0, u), f = gate(n, t, 1, u);
        const double g = gate(n, t, 2, u), o = gate(n, t, 3, u);
        const double squashed = std::tanh(cell(n, s, u));
        dc[at] += dh[at] * o * (1.0 - squashed * squashed);
        d[at] = dc[at] * g * i * (1.0 - i);
        d[at + dh.size()] = dc[at] * cell(n, s - 1, u) * f * (1.0 - f);
        d[at + 2 * dh.size()] = dc[at] * i * (1.0 - g * g);
        d[at + 3 * dh.size()] = dh[at] * squashed * o * (1.0 - o);
        dc[at] *= f;
      }
      std::fill(dh.begin(), dh.end(), 0.0);
      for (std::int64_t row = 0; row < 4 * units; ++row) {
        const double gradient = d[static_cast<std::size_t>(row)];
        dbias_ih.as<double>()[row] += gradient;
        dbias_hh.as<double>()[row] += gradient;
        for (std::int64_t i = 0; i < shape.inputs; ++i) {
          const std::int64_t at = row * shape.inputs + i;
          dweight_ih.as<double>()[at] += gradient * x.as<double>()[shape.x(n, t) + i];
          if (!dx.present()) continue;
          dx.as<double>()[shape.x(n, t) + i] += gradient * weight_ih.as<double>()[at];
        }
        for (std::int64_t j = 0; j < units; ++j) {
          const std::int64_t at = row * units + j;
          dweight_hh.as<double>()[at] += gradient * hidden(n, s - 1, j);
          dh[static_cast<std::size_t>(j)] += gradient * weight_hh.as<double>()[at];
        }
      }
    }
  }
}

}  // namespace cardiograd
