#include "kernels/wavelet.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {
namespace {

// h of db1 .. db8, one after the other; dbN starts at N (N - 1).
constexpr std::array<double, 72> scaling_filters = {
    // db1
    0.7071067811865476, 0.7071067811865476,
    // db2
    0.48296291314453416, 0.8365163037378079, 0.2241438680420134, -0.12940952255126037,
    // db3
    0.33267055295008263, 0.8068915093110925, 0.45987750211849154, -0.13501102001025458,
    -0.08544127388202666, 0.03522629188570953,
    // db4
    0.2303778133088965, 0.7148465705529157, 0.6308807679298589, -0.027983769416859854,
    -0.18703481171909309, 0.030841381835560764, 0.0328830116668852, -0.010597401785069032,
    // db5
    0.16010239797419293, 0.6038292697971896, 0.7243085284377729, 0.13842814590132074,
    -0.24229488706638203, -0.032244869584638375, 0.07757149384004572, -0.006241490212798274,
    -0.012580751999081999, 0.0033357252854737712,
    // db6
    0.11154074335010947, 0.49462389039845306, 0.7511339080210954, 0.31525035170919763,
    -0.22626469396543983, -0.12976686756726194, 0.09750160558732304, 0.027522865530305727,
    -0.03158203931748603, 0.0005538422011614961, 0.004777257510945511, -0.0010773010853084796,
    // db7
    0.07785205408500918, 0.3965393194819173, 0.7291320908462351, 0.4697822874051931,
    -0.14390600392856498, -0.22403618499387498, 0.07130921926683026, 0.08061260915108308,
    -0.03802993693501441, -0.01657454163066688, 0.01255099855609984, 0.0004295779729213665,
    -0.0018016407040474908, 0.00035371379997452024,
    // db8
    0.05441584224310401, 0.31287159091429995, 0.6756307362972898, 0.5853546836542067,
    -0.015829105256349306, -0.2840155429615469, 0.0004724845739132828, 0.12874742662047847,
    -0.017369301001807547, -0.044088253930794755, 0.013981027917398282, 0.008746094047405777,
    -0.004870352993451574, -0.00039174037337694705, 0.0006754494064505693, -0.00011747678412476953};

// Index into a signal of `length` values that goes on as its own mirror image, again and again.
std::int64_t mirrored(std::int64_t index, std::int64_t length) {
  const std::int64_t period = 2 * length;
  std::int64_t at = index % period;
  if (at < 0) at += period;
  return at < length ? at : period - 1 - at;
}

double median_magnitude(std::vector<double> values) {
  for (double& value : values) value = std::abs(value);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return 0.5 * (*middle + *std::max_element(values.begin(), middle));
}

void shrink(std::vector<double>& coefficients, double threshold, bool soft) {
  for (double& value : coefficients) {
    const double magnitude = std::abs(value);
    if (magnitude < threshold) {
      value = 0.0;
    } else if (soft) {
      value = std::copysign(magnitude - threshold, value);
    }
  }
}

}  // namespace

Wavelet::Wavelet(int vanishing_moments) {
  if (vanishing_moments < 1 || vanishing_moments > most_vanishing_moments) {
    throw InputError("there is no wavelet db" + std::to_string(vanishing_moments) +
                     " here; known are db1 to db" + std::to_string(most_vanishing_moments));
  }
  const std::int64_t count = 2 * std::int64_t{vanishing_moments};
  const auto* first = scaling_filters.data() + vanishing_moments * (vanishing_moments - 1);
  scaling_.assign(first, first + count);
  for (std::int64_t k = 0; k < count; ++k) {
    const double tap = scaling_[static_cast<std::size_t>(count - 1 - k)];
    wavelet_.push_back(k % 2 == 0 ? tap : -tap);
  }
}

int Wavelet::most_levels(std::int64_t length) const {
  int levels = 0;
  for (std::int64_t reach = taps() - 1; 2 * reach <= length; reach *= 2) ++levels;
  return levels;
}

void Wavelet::analyse(std::span<const double> x, std::vector<double>& approximation,
                      std::vector<double>& detail) const {
  const auto length = static_cast<std::int64_t>(x.size());
  CG_CHECK(length > 0, "a wavelet transform of an empty signal");
  const std::int64_t outputs = (length + taps() - 1) / 2;
  approximation.resize(static_cast<std::size_t>(outputs));
  detail.resize(static_cast<std::size_t>(outputs));
  for (std::int64_t i = 0; i < outputs; ++i) {
    const std::int64_t first = 2 * i + 2 - taps();
    const bool inside = first >= 0 && first + taps() <= length;
    double low = 0.0, high = 0.0;
    for (std::int64_t k = 0; k < taps(); ++k) {
      const std::int64_t at = inside ? first + k : mirrored(first + k, length);
      const double value = x[static_cast<std::size_t>(at)];
      low += scaling_[static_cast<std::size_t>(k)] * value;
      high += wavelet_[static_cast<std::size_t>(k)] * value;
    }
    approximation[static_cast<std::size_t>(i)] = low;
    detail[static_cast<std::size_t>(i)] = high;
  }
}

std::vector<double> Wavelet::synthesise(std::span<const double> approximation,
                                        std::span<const double> detail) const {
  CG_CHECK(approximation.size() == detail.size(), "two bands of unequal length");
  const auto count = static_cast<std::int64_t>(approximation.size());
  const std::int64_t length = 2 * count - taps() + 2;
  CG_CHECK(count > 0 && length > 0, "fewer coefficients than the wavelet has taps");
  std::vector<double> x(static_cast<std::size_t>(length), 0.0);
  for (std::int64_t t = 0; t < length; ++t) {
    // Coefficient i reaches x[2 i + 2 - taps + k] with tap k.
    double sum = 0.0;
    for (std::int64_t k = t % 2; k < taps(); k += 2) {
      const auto i = static_cast<std::size_t>((t - k + taps() - 2) / 2);
      sum += scaling_[static_cast<std::size_t>(k)] * approximation[i] +
             wavelet_[static_cast<std::size_t>(k)] * detail[i];
    }
    x[static_cast<std::size_t>(t)] = sum;
  }
  return x;
}

WaveletCoefficients decompose(const Wavelet& wavelet, std::span<const double> x, int levels) {
  if (levels < 1) throw InputError("a wavelet transform needs at least 1 level");
  if (x.empty()) throw InputError("a wavelet transform needs at least 1 sample");
  WaveletCoefficients result;
  result.length = static_cast<std::int64_t>(x.size());
  result.approximation.assign(x.begin(), x.end());
  for (int level = 0; level < levels; ++level) {
    const std::vector<double> finer = std::move(result.approximation);
    wavelet.analyse(finer, result.approximation, result.details.emplace_back());
  }
  return result;
}

std::vector<double> reconstruct(const Wavelet& wavelet, const WaveletCoefficients& coefficients) {
  std::vector<double> x = coefficients.approximation;
  for (auto detail = coefficients.details.rbegin(); detail != coefficients.details.rend();
       ++detail) {
    x.resize(detail->size());  // the value more of an odd length
    x = wavelet.synthesise(x, *detail);
  }
  x.resize(static_cast<std::size_t>(coefficients.length));
  return x;
}

std::string WaveletDenoiseSpec::to_string() const {
  return "db" + std::to_string(vanishing_moments) + ",levels=" + std::to_string(levels) +
         ",mode=" + (soft ? "soft" : "hard") + ",factor=" + shortest_number(factor);
}

void check_wavelet(const WaveletDenoiseSpec& spec, std::int64_t length) {
  const Wavelet wavelet(spec.vanishing_moments);
  if (spec.levels < 1) throw InputError("a wavelet transform needs at least 1 level");
  if (spec.levels > wavelet.most_levels(length)) {
    throw InputError("a signal of " + std::to_string(length) + " samples is too short for " +
                     std::to_string(spec.levels) + " levels of db" +
                     std::to_string(spec.vanishing_moments));
  }
}

std::vector<double> wavelet_denoise(const WaveletDenoiseSpec& spec, std::span<const double> x) {
  check_wavelet(spec, static_cast<std::int64_t>(x.size()));
  const Wavelet wavelet(spec.vanishing_moments);
  WaveletCoefficients coefficients = decompose(wavelet, x, spec.levels);
  const double threshold = spec.factor * median_magnitude(coefficients.details.front());
  shrink(coefficients.approximation, threshold, spec.soft);
  for (std::vector<double>& detail : coefficients.details) shrink(detail, threshold, spec.soft);
  return reconstruct(wavelet, coefficients);
}

}  // namespace cardiograd
