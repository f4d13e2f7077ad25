#include "data/synth_noise.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

#include "data/synth_random.h"

namespace cardiograd {
namespace {

using Phasor = std::complex<double>;

void add_sine(std::vector<float>& signal, double amplitude, double frequency, double phase,
              double rate) {
  // A rotating phasor: one complex product a sample in place of a sine.
  const Phasor step = std::polar(1.0, 2 * std::numbers::pi * frequency / rate);
  Phasor phasor = std::polar(amplitude, phase);
  for (float& value : signal) {
    value += static_cast<float>(phasor.imag());
    phasor = {phasor.real() * step.real() - phasor.imag() * step.imag(),
              phasor.real() * step.imag() + phasor.imag() * step.real()};
  }
}

// Respiration, slow drift of the half-cell potentials, and mains.
void add_wander(SynthElectrodes& electrodes, const SynthPlan& plan, double respiration, double rate,
                SynthRandom& random) {
  const double breath_phase = random.phase();
  const double mains_phase = random.phase();
  const double mains = 0.004 * random.factor(0.6);
  const double mains_frequency = 50 + random.normal(0, 0.02);
  for (std::vector<float>& signal : electrodes) {
    const double size = plan.baseline_drift * random.factor(0.4);
    add_sine(signal, 0.015 * size, respiration, breath_phase + random.normal(0, 0.5), rate);
    add_sine(signal, 0.018 * size, random.uniform(0.04, 0.1), random.phase(), rate);
    add_sine(signal, 0.012 * size, random.uniform(0.1, 0.22), random.phase(), rate);
    add_sine(signal, 0.006 * size, random.uniform(0.3, 0.6), random.phase(), rate);
    add_sine(signal, mains * random.factor(0.3), mains_frequency,
             mains_phase + random.normal(0, 0.4), rate);
  }
}

// Muscle: broadband, weak below some 10 Hz, and waxing and waning.
void add_muscle(SynthElectrodes& electrodes, const SynthPlan& plan, double rate,
                SynthRandom& random) {
  for (int electrode = 0; electrode < synth_electrode_count; ++electrode) {
    std::vector<float>& signal = electrodes[static_cast<std::size_t>(electrode)];
    const double limb = electrode < 3 ? 1.0 : 0.8;
    const auto size = static_cast<float>(0.0052 * plan.static_noise * limb * random.factor(0.3));
    const Phasor step = std::polar(1.0, 2 * std::numbers::pi * random.uniform(0.1, 0.6) / rate);
    Phasor envelope = std::polar(0.4, random.phase());
    float before = 0;
    for (float& value : signal) {
      const auto white = static_cast<float>(random.normal());
      value += size * (white - 0.6F * before) * static_cast<float>(1 + envelope.imag());
      before = white;
      envelope = {envelope.real() * step.real() - envelope.imag() * step.imag(),
                  envelope.real() * step.imag() + envelope.imag() * step.real()};
    }
  }
}

// An electrode that is touched: a jump that decays over the amplifier's high-pass, with a tremor.
void add_motion(std::vector<float>& signal, double rate, SynthRandom& random) {
  const auto length = static_cast<double>(signal.size());
  const int bursts = 1 + static_cast<int>(random.below(3));
  for (int burst = 0; burst < bursts; ++burst) {
    const auto begin = static_cast<std::size_t>(random.uniform(0, 0.9) * length);
    const double size = random.uniform(0.15, 0.6) * (random.chance(0.5) ? 1 : -1);
    const double decay = random.uniform(0.15, 0.5);
    const double frequency = random.uniform(3, 9);
    const std::size_t end =
        std::min(signal.size(), begin + static_cast<std::size_t>(4 * decay * rate));
    for (std::size_t i = begin; i < end; ++i) {
      const double t = static_cast<double>(i - begin) / rate;
      const double onset = 1 - std::exp(-t / 0.02);
      signal[i] += static_cast<float>(size * onset * std::exp(-t / decay) *
                                      (0.6 + 0.4 * std::cos(2 * std::numbers::pi * frequency * t)));
    }
  }
}

// The electrode to blame for artefacts in lead 0..11 (I, II, III, AVR, AVL, AVF, V1 .. V6).
int electrode_of_lead(int lead) {
  constexpr std::array<int, 6> limb{1, 2, 2, 0, 1, 2};
  return lead < 6 ? limb[static_cast<std::size_t>(lead)] : lead - 3;
}

}  // namespace

SynthElectrodes make_synth_noise(const SynthPlan& plan, std::uint64_t seed, double respiration,
                                 int length, double rate) {
  SynthRandom random(seed, SynthStream::noise, static_cast<std::uint32_t>(plan.record));
  SynthElectrodes electrodes;
  for (std::vector<float>& signal : electrodes)
    signal.assign(static_cast<std::size_t>(length), 0.0F);
  add_wander(electrodes, plan, respiration, rate, random);
  add_muscle(electrodes, plan, rate, random);
  if (plan.burst_lead) {
    add_motion(electrodes[static_cast<std::size_t>(electrode_of_lead(*plan.burst_lead))], rate,
               random);
  }
  return electrodes;
}

}  // namespace cardiograd
