#include "data/synth_signal.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <span>

#include "data/synth_beat.h"
#include "data/synth_noise.h"
#include "data/synth_rhythm.h"

namespace cardiograd {
namespace {

constexpr double rate = 500;  // Hz
constexpr int samples = 5000;
constexpr int decimation = 5;
// The low-pass before decimation needs as many samples on either side of the record.
constexpr int filter_reach = 60;
constexpr int padded = samples + 2 * filter_reach;
constexpr double start = -filter_reach / rate;  // s

using LeadSignals = std::array<std::vector<float>, synth_lead_count>;
using DipoleSignal = std::array<std::vector<float>, 3>;

void add_wave(DipoleSignal& signal, const Dipole& dipole, double centre, double rise, double fall) {
  const int first = std::max(0, static_cast<int>(std::ceil((centre - 4 * rise - start) * rate)));
  const int last = std::min(padded - 1, static_cast<int>((centre + 4 * fall - start) * rate));
  for (int i = first; i <= last; ++i) {
    const double time = start + i / rate;
    const double u = (time - centre) / (time < centre ? rise : fall);
    const auto value = static_cast<float>(std::exp(-0.5 * u * u));
    for (std::size_t axis = 0; axis < 3; ++axis) {
      signal[axis][static_cast<std::size_t>(i)] += static_cast<float>(dipole[axis]) * value;
    }
  }
}

// Breathing shifts the diaphragm: the dipole turns and weakens a little with it.
class Breathing {
 public:
  Breathing(double frequency, SynthRandom& random)
      : frequency_(frequency),
        phase_(random.phase()),
        turn_(random.uniform(0.01, 0.05)),
        gain_(random.uniform(0.01, 0.05)) {}
  Dipole operator()(const Dipole& dipole, double time) const {
    const double breath = std::sin(2 * std::numbers::pi * frequency_ * time + phase_);
    const double gain = 1 + gain_ * breath;
    const double turn = turn_ * breath;
    return {gain * (dipole[0] - turn * dipole[1]), gain * (dipole[1] + turn * dipole[0]),
            gain * dipole[2]};
  }

 private:
  double frequency_;
  double phase_;
  double turn_;
  double gain_;
};

void add_beats(DipoleSignal& signal, const SynthHeart& heart, std::span<const SynthBeatTime> beats,
               const Breathing& breathing, SynthRandom& random) {
  for (const SynthBeatTime& beat : beats) {
    const double variation = 1 + 0.02 * random.normal();
    const SynthBeat& waves = beat.premature ? heart.premature : heart.beat;
    const auto add = [&](const SynthWave& wave, double centre, double stretch) {
      Dipole dipole = breathing(wave.dipole, beat.time);
      for (double& component : dipole) component *= variation;
      add_wave(signal, dipole, beat.time + centre, wave.rise * stretch, wave.fall * stretch);
    };
    if (beat.atrial) {
      for (const SynthWave& wave : heart.beat.atrial) add(wave, wave.centre - beat.pr_extra, 1);
    }
    if (!beat.ventricular) continue;
    for (const SynthWave& wave : waves.ventricular) add(wave, wave.centre, 1);
    // Fridericia: the QT interval grows with the cube root of the cycle length.
    const double stretch = std::cbrt(std::clamp(beat.cycle, 0.4, 1.6));
    for (const SynthWave& wave : waves.repolarisation) add(wave, wave.centre * stretch, stretch);
  }
}

// Atria that do not beat but tremble or circle.
void add_atrial_activity(DipoleSignal& signal, const SynthPlan& plan, SynthRandom& random) {
  if (!plan.has("AFIB") && !plan.has("AFLT")) return;
  constexpr double turn = 2 * std::numbers::pi;
  const bool flutter = plan.has("AFLT");
  const Dipole towards = flutter ? Dipole{-0.02, -0.10, -0.04} : Dipole{-0.012, 0.017, -0.035};
  const double size = random.factor(0.35);
  const double frequency = flutter ? 5.0 : random.uniform(5.2, 7.5);
  const double drift = flutter ? 0 : random.uniform(0.5, 1.2);
  const double drift_rate = random.uniform(0.2, 0.5);
  const double phase = random.phase();
  for (int i = 0; i < padded; ++i) {
    const double time = start + i / rate;
    const double angle =
        turn * frequency * time + drift * std::sin(turn * drift_rate * time) + phase;
    const double swell = flutter ? 1 : 1 + 0.5 * std::sin(turn * 0.41 * time + 2 * phase);
    // Two harmonics make the saw tooth.
    const double value = size * swell * (std::sin(angle) + 0.45 * std::sin(2 * angle));
    for (std::size_t axis = 0; axis < 3; ++axis) {
      signal[axis][static_cast<std::size_t>(i)] += static_cast<float>(towards[axis] * value);
    }
  }
}

LeadSignals project(const DipoleSignal& dipole, const SynthLeads& leads,
                    const SynthElectrodes& noise) {
  LeadSignals signals;
  for (std::size_t lead = 0; lead < synth_lead_count; ++lead) {
    signals[lead].resize(padded);
    const Dipole& view = leads[lead];
    for (std::size_t i = 0; i < padded; ++i) {
      signals[lead][i] = static_cast<float>(view[0]) * dipole[0][i] +
                         static_cast<float>(view[1]) * dipole[1][i] +
                         static_cast<float>(view[2]) * dipole[2][i];
    }
  }
  const auto& [right_arm, left_arm, left_leg, v1, v2, v3, v4, v5, v6] = noise;
  const std::array<const std::vector<float>*, 6> chest{&v1, &v2, &v3, &v4, &v5, &v6};
  for (std::size_t i = 0; i < padded; ++i) {
    const float terminal = (right_arm[i] + left_arm[i] + left_leg[i]) / 3;  // Wilson's
    signals[0][i] += left_arm[i] - right_arm[i];
    signals[1][i] += left_leg[i] - right_arm[i];
    for (std::size_t v = 0; v < 6; ++v) signals[v + 2][i] += (*chest[v])[i] - terminal;
  }
  return signals;
}

// Windowed sinc (Hamming), cut-off 42 Hz: mains and all above 50 Hz are down by more than 40 dB.
std::array<float, 2 * filter_reach + 1> low_pass() {
  constexpr double cut_off = 42 / rate;
  std::array<double, 2 * filter_reach + 1> taps{};
  double sum = 0;
  for (int k = -filter_reach; k <= filter_reach; ++k) {
    const double x = 2 * std::numbers::pi * cut_off * k;
    const double window = 0.54 + 0.46 * std::cos(std::numbers::pi * k / filter_reach);
    const double tap = window * (k == 0 ? 1 : std::sin(x) / x);
    taps[static_cast<std::size_t>(k + filter_reach)] = tap;
    sum += tap;
  }
  std::array<float, 2 * filter_reach + 1> scaled{};
  std::transform(taps.begin(), taps.end(), scaled.begin(),
                 [sum](double tap) { return static_cast<float>(tap / sum); });
  return scaled;
}

LeadSignals decimate(const LeadSignals& signals) {
  static const auto taps = low_pass();
  LeadSignals decimated;
  for (std::size_t lead = 0; lead < synth_lead_count; ++lead) {
    decimated[lead].resize(samples / decimation);
    for (std::size_t i = 0; i < decimated[lead].size(); ++i) {
      const float* window = signals[lead].data() + i * decimation;
      float sum = 0;
      for (std::size_t k = 0; k < taps.size(); ++k) sum += taps[k] * window[k];
      decimated[lead][i] = sum;
    }
  }
  return decimated;
}

std::int16_t half(int sum) { return static_cast<std::int16_t>(sum / 2); }

// mV to adu in steps of `step`, with the four leads that follow from I and II.
std::vector<std::int16_t> quantise(const LeadSignals& signals, int offset, int length, int step) {
  std::vector<std::int16_t> adu(static_cast<std::size_t>(length) * 12);
  const auto value = [&](std::size_t lead, int i) {
    const float scaled =
        signals[lead][static_cast<std::size_t>(offset + i)] * 1000.0F / static_cast<float>(step);
    // Half of what a sample can hold, so that lead III can hold II - I.
    return step *
           static_cast<int>(std::lround(std::clamp(scaled, -16000.0F / static_cast<float>(step),
                                                   16000.0F / static_cast<float>(step))));
  };
  for (int i = 0; i < length; ++i) {
    const int one = value(0, i);
    const int two = value(1, i);
    std::int16_t* row = adu.data() + static_cast<std::size_t>(i) * 12;
    row[0] = static_cast<std::int16_t>(one);
    row[1] = static_cast<std::int16_t>(two);
    row[2] = static_cast<std::int16_t>(two - one);
    row[3] = half(-(one + two));
    row[4] = half(one - (two - one));
    row[5] = half(two + (two - one));
    for (std::size_t v = 2; v < synth_lead_count; ++v)
      row[v + 4] = static_cast<std::int16_t>(value(v, i));
  }
  return adu;
}

}  // namespace

SynthSignal make_synth_signal(const SynthPlan& plan, std::uint64_t seed) {
  const SynthHeart heart = build_synth_heart(plan, seed);
  const double respiration = synth_respiration_rate(plan, seed);
  const std::vector<SynthBeatTime> beats = make_synth_rhythm(plan, seed);
  SynthRandom random(seed, SynthStream::beats, static_cast<std::uint32_t>(plan.record));
  const Breathing breathing(respiration, random);
  DipoleSignal dipole;
  for (std::vector<float>& axis : dipole) axis.assign(padded, 0.0F);
  add_atrial_activity(dipole, plan, random);
  add_beats(dipole, heart, beats, breathing, random);
  const LeadSignals signals =
      project(dipole, heart.leads, make_synth_noise(plan, seed, respiration, padded, rate));
  return {quantise(decimate(signals), 0, samples / decimation, 1),
          quantise(signals, filter_reach, samples, 5)};
}

}  // namespace cardiograd
