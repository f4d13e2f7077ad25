// Records by number, cropped, scaled and augmented: each augmentation on its own, over the whole
// record, in the order and from the draws that kernels/augment.h names.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {
namespace {

using reference::Sequence;

double unit(std::uint32_t word) { return static_cast<double>(word >> 8) / 16777216.0; }

// word * n / 2^32, rounded down.
std::int64_t one_of(std::uint32_t word, std::int64_t n) {
  return static_cast<std::int64_t>(
      std::floor(static_cast<double>(word) * static_cast<double>(n) / 4294967296.0));
}

// One record of a batch, [length, leads] in the output's units.
struct Signal {
  std::vector<double> value;
  std::vector<bool> present;
  std::vector<double> variance;  // of each lead over the crop, in the output's units
};

class Gathering {
 public:
  Gathering(const GatherSpec& spec, const GatherOperands& x, std::int64_t crop)
      : spec_(spec), s_(spec.augment), x_(x), from_(reference::sequence_of(x.records.dims)) {
    to_ = {1, crop, from_.channels};
  }

  // The output's values of record n of the batch.
  std::vector<double> make(std::int64_t n) {
    const std::int64_t row = x_.rows.as<std::int32_t>()[n];
    const std::int32_t key =
        x_.keys.present() ? x_.keys.as<std::int32_t>()[n] : static_cast<std::int32_t>(row);
    if (key < s_.first_key) return read(row, (from_.length - to_.length) / 2, 0, 1.0).value;
    key_ = static_cast<std::uint32_t>(key);
    Signal signal = read(row, start(0), delay(0), factor());
    if (x_.partners.present()) {
      const std::int64_t partner = x_.partners.as<std::int32_t>()[n];
      mix(signal, read(partner, start(1), delay(1), factor()),
          static_cast<double>(x_.shares.as<float>()[n]));
    }
    if (s_.wander > 0.0) wander(signal);
    if (s_.hum > 0.0) hum(signal);
    if (s_.noise > 0.0) noise(signal);
    if (s_.lead_dropout > 0.0) drop_leads(signal);
    if (s_.mask > 0.0) mask(signal);
    return signal.value;
  }

 private:
  std::uint32_t word(AugmentDraw draw, std::int64_t block, std::int64_t which) const {
    const RandomKey key{s_.seed, s_.epoch, static_cast<std::uint32_t>(draw)};
    return key.draw(key_, static_cast<std::uint32_t>(block))[static_cast<std::size_t>(which)];
  }
  double u(AugmentDraw draw, std::int64_t block, std::int64_t which) const {
    return unit(word(draw, block, which));
  }
  double scale(std::int64_t c) const { return static_cast<double>(x_.scale.as<float>()[c]); }
  double shift(std::int64_t c) const { return static_cast<double>(x_.shift.as<float>()[c]); }
  double gain(std::int64_t c) const { return static_cast<double>(x_.gain.as<float>()[c]); }

  std::int64_t start(int which) const {
    const std::int64_t room = from_.length - to_.length;
    return s_.crop ? one_of(word(AugmentDraw::crop, 0, which), room + 1) : room / 2;
  }

  std::int64_t delay(int which) const {
    if (u(AugmentDraw::shift, 0, 2 * which) >= s_.shift) return 0;
    const std::uint32_t chosen = word(AugmentDraw::shift, 0, 2 * which + 1);
    return one_of(chosen, 2 * s_.shift_most + 1) - s_.shift_most;
  }

  double factor() const {
    if (u(AugmentDraw::amplitude, 0, 0) >= s_.amplitude) return 1.0;
    const double range = s_.amplitude_high - s_.amplitude_low;
    return s_.amplitude_low + range * u(AugmentDraw::amplitude, 0, 1);
  }

  // factor: of the amplitude, in mV: what standardisation subtracts keeps its size.
  Signal read(std::int64_t row, std::int64_t start, std::int64_t delay, double factor) const {
    CG_CHECK(row >= 0 && row < from_.batch, "record " + std::to_string(row) + " does not exist");
    const auto sample = [&](std::int64_t t, std::int64_t c) {
      return x_.records.as<std::int16_t>()[from_.at(row, start + t, c)];
    };
    constexpr std::int16_t missing = std::numeric_limits<std::int16_t>::min();
    Signal signal;
    for (std::int64_t t = 0; t < to_.length; ++t) {
      const std::int64_t at = t - delay;
      const bool inside = at >= 0 && at < to_.length;
      for (std::int64_t c = 0; c < to_.channels; ++c) {
        const bool present = inside && sample(at, c) != missing;
        signal.present.push_back(present);
        signal.value.push_back(present ? factor * sample(at, c) * scale(c) + shift(c)
                                       : spec_.missing);
      }
    }
    for (std::int64_t c = 0; c < to_.channels; ++c) {
      double count = 0.0, sum = 0.0, squares = 0.0;
      for (std::int64_t t = 0; t < to_.length; ++t) {
        if (sample(t, c) == missing) continue;
        ++count;
        sum += sample(t, c);
      }
      for (std::int64_t t = 0; t < to_.length; ++t) {
        if (sample(t, c) != missing) squares += std::pow(sample(t, c) - sum / count, 2);
      }
      signal.variance.push_back(count > 0.0 ? squares / count * std::pow(factor * scale(c), 2)
                                            : 0.0);
    }
    return signal;
  }

  void mix(Signal& signal, const Signal& other, double share) const {
    for (std::size_t i = 0; i < signal.value.size(); ++i) {
      signal.value[i] = share * signal.value[i] + (1.0 - share) * other.value[i];
      signal.present[i] = signal.present[i] || other.present[i];
    }
    for (std::size_t c = 0; c < signal.variance.size(); ++c) {
      signal.variance[c] =
          share * share * signal.variance[c] + (1.0 - share) * (1.0 - share) * other.variance[c];
    }
  }

  // Calls change(value, t, c) on every sample that is there.
  template <class Change>
  void each_present(Signal& signal, const Change& change) const {
    for (std::int64_t t = 0; t < to_.length; ++t) {
      for (std::int64_t c = 0; c < to_.channels; ++c) {
        const auto i = static_cast<std::size_t>(to_.at(0, t, c));
        if (signal.present[i]) change(signal.value[i], t, c);
      }
    }
  }

  // The value at time t of a sine of this frequency; the phase is whole 2^-32 turns, and so is
  // what each sample adds to it.
  double sine(double hz, std::uint32_t phase, std::int64_t t) const {
    const double step = std::floor(std::fmod(hz / s_.rate, 1.0) * 4294967296.0);
    const double turns =
        (static_cast<double>(phase) + step * static_cast<double>(t)) / 4294967296.0;
    return std::sin(2.0 * std::numbers::pi * (turns - std::floor(turns)));
  }

  double part(AugmentDraw draw, std::int64_t first_block, std::int64_t c) const {
    return 2.0 * u(draw, first_block + c / 4, c % 4) - 1.0;
  }

  void wander(Signal& signal) const {
    if (u(AugmentDraw::wander, 0, 0) >= s_.wander) return;
    const double mv = s_.wander_mv * u(AugmentDraw::wander, 0, 1);
    each_present(signal, [&](double& value, std::int64_t t, std::int64_t c) {
      double mean = 0.0;
      for (int k = 0; k < 3; ++k) {
        mean += sine(0.05 + (0.5 - 0.05) * u(AugmentDraw::wander, 1, k),
                     word(AugmentDraw::wander, 2, k), t) /
                3.0;
      }
      value += mv * mean * part(AugmentDraw::wander, 3, c) * gain(c) * scale(c);
    });
  }

  void hum(Signal& signal) const {
    if (u(AugmentDraw::hum, 0, 0) >= s_.hum) return;
    const double mv = s_.hum_mv * u(AugmentDraw::hum, 0, 1);
    each_present(signal, [&](double& value, std::int64_t t, std::int64_t c) {
      value += mv * sine(s_.hum_hz, word(AugmentDraw::hum, 0, 2), t) *
               part(AugmentDraw::hum, 1, c) * gain(c) * scale(c);
    });
  }

  // Box & Muller: element 256 g + 64 j + i has word j of block 64 g + i; an even j the cosine of
  // radius j and angle j + 1, an odd one the sine of the same pair.
  void noise(Signal& signal) const {
    each_present(signal, [&](double& value, std::int64_t t, std::int64_t c) {
      const std::int64_t e = t * to_.channels + c;
      const std::int64_t block = e / 256 * 64 + e % 64;
      const std::int64_t j = e % 256 / 64;
      const double u1 =
          (static_cast<double>(word(AugmentDraw::noise, block, j / 2 * 2) >> 8) + 1.0) / 16777216.0;
      const double angle = 2.0 * std::numbers::pi / 4294967296.0 *
                           static_cast<double>(word(AugmentDraw::noise, block, j / 2 * 2 + 1));
      const double normal =
          std::sqrt(-2.0 * std::log(u1)) * (j % 2 == 0 ? std::cos(angle) : std::sin(angle));
      value += s_.noise * std::sqrt(signal.variance[static_cast<std::size_t>(c)]) * normal;
    });
  }

  void drop_leads(Signal& signal) const {
    std::vector<bool> dropped;
    bool all = true;
    for (std::int64_t c = 0; c < to_.channels; ++c) {
      dropped.push_back(u(AugmentDraw::lead_dropout, c / 4, c % 4) < s_.lead_dropout);
      all = all && dropped.back();
    }
    if (all) {
      const std::int64_t kept = one_of(word(AugmentDraw::lead_dropout, 1LL << 31, 0), to_.channels);
      dropped[static_cast<std::size_t>(kept)] = false;
    }
    for (std::size_t i = 0; i < signal.value.size(); ++i) {
      if (dropped[i % dropped.size()]) signal.value[i] = spec_.missing;
    }
  }

  void mask(Signal& signal) const {
    if (u(AugmentDraw::mask, 0, 0) >= s_.mask) return;
    const double p = s_.mask_share / static_cast<double>(s_.mask_longest);
    for (std::int64_t t = 0; t < to_.length; ++t) {
      if (u(AugmentDraw::mask_start, t / 4, t % 4) >= p) continue;
      const std::int64_t width = s_.mask_shortest + one_of(word(AugmentDraw::mask_width, t, 0),
                                                           s_.mask_longest - s_.mask_shortest + 1);
      for (std::int64_t at = t; at < std::min(t + width, to_.length); ++at) {
        for (std::int64_t c = 0; c < to_.channels; ++c) {
          signal.value[static_cast<std::size_t>(to_.at(0, at, c))] = spec_.missing;
        }
      }
    }
  }

  const GatherSpec& spec_;
  const AugmentSpec& s_;
  const GatherOperands& x_;
  Sequence from_, to_;
  std::uint32_t key_ = 0;
};

}  // namespace

void ReferenceBackend::gather_records(const GatherSpec& spec, const GatherOperands& x, View y) {
  const Sequence from = reference::sequence_of(x.records.dims);
  const Sequence to = reference::sequence_of(y.dims);
  CG_CHECK(from.channels <= to.channels && to.length <= from.length,
           "gather drops no leads: " + x.records.dims.to_string() + " to " + y.dims.to_string());
  for (const ConstView& each : {x.rows, x.keys, x.partners, x.shares}) {
    if (each.present()) reference::check_channels(each.dims, to.batch);
  }
  for (const ConstView& each : {x.scale, x.shift, x.gain}) {
    if (each.present()) reference::check_channels(each.dims, from.channels);
  }
  Gathering gathering(spec, x, to.length);
  for (std::int64_t n = 0; n < to.batch; ++n) {
    const std::vector<double> values = gathering.make(n);
    for (std::int64_t t = 0; t < to.length; ++t) {
      for (std::int64_t c = 0; c < to.channels; ++c) {
        y.as<double>()[to.at(n, t, c)] =
            c < from.channels ? values[static_cast<std::size_t>(t * from.channels + c)] : 0.0;
      }
    }
  }
}

}  // namespace cardiograd
