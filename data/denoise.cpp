#include "data/denoise.h"

#include <algorithm>
#include <cmath>

#include "data/wfdb.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "kernels/wavelet.h"

namespace cardiograd {
namespace {

// The samples of one lead with straight lines over the missing ones; false where all are missing.
bool bridge(std::span<const std::int16_t> samples, std::int64_t leads, std::int64_t lead,
            std::vector<double>& x) {
  const auto at = [&](std::size_t t) {
    return samples[t * static_cast<std::size_t>(leads) + static_cast<std::size_t>(lead)];
  };
  const std::size_t length = x.size();
  std::size_t next = 0;  // one behind the last present sample
  for (std::size_t t = 0; t < length; ++t) {
    if (at(t) == missing_sample) continue;
    x[t] = at(t);
    const double from = next == 0 ? x[t] : x[next - 1];
    const double step = next == 0 ? 0.0 : (x[t] - from) / static_cast<double>(t - next + 1);
    for (std::size_t gap = next; gap < t; ++gap) {
      x[gap] = from + step * static_cast<double>(gap - next + 1);
    }
    next = t + 1;
  }
  if (next == 0) return false;
  for (std::size_t t = next; t < length; ++t) x[t] = x[next - 1];
  return true;
}

std::int16_t to_sample(double value) {
  constexpr double least = missing_sample + 1, most = INT16_MAX;
  return static_cast<std::int16_t>(std::lrint(std::clamp(value, least, most)));
}

}  // namespace

DenoiseSpec parse_denoise(std::string_view text, const std::string& where) {
  const auto fail = [&](const std::string& problem) {
    throw InputError(where + ": " + problem +
                     "; a denoising reads \"db4,levels=3,mode=hard,factor=0.1\", of which all but "
                     "the wavelet may be left out");
  };
  DenoiseSpec spec;
  bool first = true;
  for (std::string_view rest = text; first || !rest.empty();) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const std::string_view value = part.substr(std::min(part.find('=') + 1, part.size()));
    bool good = true;
    if (first) {
      good = part.starts_with("db") && parse_number(part.substr(2), spec.vanishing_moments) &&
             spec.vanishing_moments >= 1 && spec.vanishing_moments <= most_vanishing_moments;
      if (!good) fail("there is no wavelet " + quote(part) + ", known are db1 to db8");
    } else if (part.starts_with("levels=")) {
      good = parse_number(value, spec.levels) && spec.levels >= 1 && spec.levels <= 30;
    } else if (part.starts_with("mode=")) {
      spec.soft = value == "soft";
      good = spec.soft || value == "hard";
    } else if (part.starts_with("factor=")) {
      good = parse_number(value, spec.factor) && std::isfinite(spec.factor) && spec.factor >= 0;
    } else {
      good = false;
    }
    if (!good) fail(quote(part) + " is not understood");
    first = false;
  }
  return spec;
}

void denoise_record(const DenoiseSpec& spec, std::int64_t leads, std::span<std::int16_t> samples) {
  CG_CHECK(leads > 0 && samples.size() % static_cast<std::size_t>(leads) == 0,
           "a record that is not [length, leads]");
  std::vector<double> x(samples.size() / static_cast<std::size_t>(leads));
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    if (!bridge(samples, leads, lead, x)) continue;
    const std::vector<double> clean = wavelet_denoise(spec, x);
    for (std::size_t t = 0; t < clean.size(); ++t) {
      std::int16_t& sample =
          samples[t * static_cast<std::size_t>(leads) + static_cast<std::size_t>(lead)];
      if (sample != missing_sample) sample = to_sample(clean[t]);
    }
  }
}

}  // namespace cardiograd
