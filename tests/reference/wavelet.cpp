// Wavelet denoising, as matrices would have it: each coefficient is a sum over the extended signal.
#include "kernels/wavelet.h"

#include <algorithm>
#include <cmath>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

using Signal = std::vector<double>;

std::int64_t size_of_signal(const Signal& x) { return static_cast<std::int64_t>(x.size()); }

// x[index], of a signal that is reflected at its ends as often as it takes.
double extended(const Signal& x, std::int64_t index) {
  const std::int64_t length = size_of_signal(x);
  while (index < 0 || index >= length) index = index < 0 ? -1 - index : 2 * length - 1 - index;
  return x[static_cast<std::size_t>(index)];
}

// Every second value of the signal's correlation with a filter.
Signal band(const Signal& x, const Signal& filter) {
  const std::int64_t taps = size_of_signal(filter);
  Signal result;
  for (std::int64_t i = 0; i < (size_of_signal(x) + taps - 1) / 2; ++i) {
    double sum = 0.0;
    for (std::int64_t k = 0; k < taps; ++k) {
      sum += filter[static_cast<std::size_t>(k)] * extended(x, 2 * i + 2 - taps + k);
    }
    result.push_back(sum);
  }
  return result;
}

// The transpose of band, less what it adds before the signal's first value.
void spread(const Signal& coefficients, const Signal& filter, Signal& x) {
  const std::int64_t taps = size_of_signal(filter);
  for (std::int64_t i = 0; i < size_of_signal(coefficients); ++i) {
    for (std::int64_t k = 0; k < taps; ++k) {
      const std::int64_t t = 2 * i + 2 - taps + k;
      if (t < 0 || t >= size_of_signal(x)) continue;
      x[static_cast<std::size_t>(t)] +=
          filter[static_cast<std::size_t>(k)] * coefficients[static_cast<std::size_t>(i)];
    }
  }
}

double median_magnitude(Signal values) {
  for (double& value : values) value = std::fabs(value);
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2.0;
}

void shrink(Signal& values, double threshold, bool soft) {
  for (double& value : values) {
    const double kept = soft ? std::copysign(std::fabs(value) - threshold, value) : value;
    value = std::fabs(value) < threshold ? 0.0 : kept;
  }
}

Signal denoised(const WaveletDenoiseSpec& spec, const Signal& x) {
  const Wavelet wavelet(spec.vanishing_moments);
  const Signal low(wavelet.scaling().begin(), wavelet.scaling().end());
  Signal high(low.rbegin(), low.rend());
  for (std::size_t k = 1; k < high.size(); k += 2) high[k] = -high[k];
  std::vector<Signal> details;
  std::vector<std::size_t> lengths;
  Signal approximation = x;
  for (int level = 0; level < spec.levels; ++level) {
    lengths.push_back(approximation.size());
    details.push_back(band(approximation, high));
    approximation = band(approximation, low);
  }
  const double threshold = spec.factor * median_magnitude(details.front());
  shrink(approximation, threshold, spec.soft);
  for (int level = spec.levels - 1; level >= 0; --level) {
    const auto at = static_cast<std::size_t>(level);
    shrink(details[at], threshold, spec.soft);
    Signal finer(lengths[at], 0.0);
    spread(approximation, low, finer);
    spread(details[at], high, finer);
    approximation = finer;
  }
  return approximation;
}

}  // namespace

void ReferenceBackend::wavelet_denoise(const WaveletDenoiseSpec& spec, ConstView x, View y) {
  const reference::Sequence shape = reference::sequence_of(x.dims);
  reference::check_same_shape(x.dims, y.dims);
  if (x.numel() == 0) return;
  check_wavelet(spec, shape.length);
  for (std::int64_t n = 0; n < shape.batch; ++n) {
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      Signal lead;
      for (std::int64_t t = 0; t < shape.length; ++t) {
        lead.push_back(x.as<double>()[shape.at(n, t, c)]);
      }
      const Signal clean = denoised(spec, lead);
      for (std::int64_t t = 0; t < shape.length; ++t) {
        y.as<double>()[shape.at(n, t, c)] = clean[static_cast<std::size_t>(t)];
      }
    }
  }
}

}  // namespace cardiograd
