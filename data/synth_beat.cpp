#include "data/synth_beat.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>

#include "data/synth_shape.h"

namespace cardiograd {
namespace {

// From Frank's X, Y, Z to I, II, V1 .. V6: Dower, Machado and Osborne, "On deriving the
// electrocardiogram from vectorcardiographic leads" (Clinical Cardiology 3, 1980).
constexpr SynthLeads dower{{{0.632, -0.235, 0.059},
                            {0.235, 1.066, -0.132},
                            {-0.515, 0.157, -0.917},
                            {0.044, 0.164, -1.387},
                            {0.882, 0.098, -1.277},
                            {1.213, 0.127, -0.601},
                            {1.125, 0.127, -0.086},
                            {0.831, 0.076, 0.230}}};

// Electrodes are never placed twice alike, and no chest is Dower's.
SynthLeads leads_of_patient(SynthRandom& random) {
  SynthLeads leads = dower;
  for (int lead = 0; lead < synth_lead_count; ++lead) {
    const bool limb = lead < 2;
    const double gain = random.factor(limb ? 0.04 : 0.09);
    for (double& coefficient : leads[static_cast<std::size_t>(lead)]) {
      coefficient = coefficient * gain + random.normal(0, limb ? 0.02 : 0.04);
    }
  }
  return leads;
}

double value_at(const SynthWave& wave, const Dipole& lead, double time) {
  const double width = time < wave.centre ? wave.rise : wave.fall;
  const double u = (time - wave.centre) / width;
  return dot(wave.dipole, lead) * std::exp(-0.5 * u * u);
}

struct Extremes {
  double low = 0;
  double high = 0;
};

Extremes qrs_extremes(const SynthBeat& beat, const Dipole& lead) {
  Extremes extremes;
  for (double time = -0.08; time < 0.1; time += 0.004) {
    double value = 0;
    for (const SynthWave& wave : beat.ventricular) value += value_at(wave, lead, time);
    extremes.low = std::min(extremes.low, value);
    extremes.high = std::max(extremes.high, value);
  }
  return extremes;
}

void scale(std::vector<SynthWave>& waves, double factor) {
  for (SynthWave& wave : waves) wave.dipole = wave.dipole * factor;
}

void scale_voltage(SynthBeat& beat, double ventricular, double repolarisation) {
  scale(beat.ventricular, ventricular);
  scale(beat.repolarisation, repolarisation);
}

// The largest QRS from trough to peak among the leads, in mV.
double largest_qrs(const SynthBeat& beat, const SynthLeads& leads) {
  double largest = 0.1;
  for (const Dipole& lead : leads) {
    const Extremes extremes = qrs_extremes(beat, lead);
    largest = std::max(largest, extremes.high - extremes.low);
  }
  return largest;
}

double body_gain(const SynthPlan& plan, SynthRandom& random) {
  const double bmi = plan.weight / (plan.height * plan.height * 1e-4);
  return std::clamp(random.factor(0.18) * (plan.female ? 0.92 : 1.0) * (1 - 0.012 * (bmi - 25)),
                    0.62, 1.5);
}

// Voltage is a criterion of its own: the statements about it decide the scale of the beat.
void settle_voltage(SynthBeat& beat, const SynthLeads& leads, const SynthPlan& plan) {
  const bool wide = plan.has("CLBBB") || plan.has("ILBBB") || plan.has("PACE") || plan.has("WPW");
  const double index = sokolow_lyon(beat, leads);
  if (plan.has("LVOLT")) {
    double limb = 0.1;
    for (std::size_t lead = 0; lead < 2; ++lead) {
      const Extremes extremes = qrs_extremes(beat, leads[lead]);
      limb = std::max(limb, extremes.high - extremes.low);
    }
    const double factor = std::min(1.0, (0.55 - 0.12 * plan.severity("LVOLT")) / limb);
    scale_voltage(beat, factor, std::sqrt(factor));
  } else if (plan.has("LVH") || plan.has("HVOLT")) {
    const double target =
        plan.has("LVH") ? 3.2 + 2.3 * plan.severity("LVH") : 3.7 + 0.8 * plan.severity("HVOLT");
    // With a turned axis or a block, the index says little: no lead may grow beyond what is seen.
    const double most = std::max(1.0, std::min(2.4, 4.2 / largest_qrs(beat, leads)));
    const double factor = std::clamp(target / std::max(index, 0.5), 1.0, most);
    scale_voltage(beat, factor, std::sqrt(factor));
  } else if (!wide) {
    const double limit = plan.age < 35 ? 3.6 : 3.1;
    if (index > limit) scale_voltage(beat, limit / index, std::sqrt(limit / index));
  }
}

SynthBeat premature_beat(SynthRandom& random) {
  const Dipole towards =
      rotated({1, 0, 0}, random.uniform(-80, 100),
              random.chance(0.6) ? random.uniform(20, 70) : random.uniform(-100, -40));
  const double size = random.uniform(0.9, 1.5);
  SynthBeat beat;
  beat.ventricular = {{towards * (0.7 * size), -0.03, 0.022, 0.03},
                      {towards * size, 0.03, 0.03, 0.035}};
  beat.repolarisation = {{towards * (-0.18 * size), 0.15, 0.04, 0.06},
                         {towards * (-0.4 * size), 0.32, 0.06, 0.05}};
  return beat;
}

SynthBeat beat_of(const SynthShape& shape) {
  SynthBeat beat;
  constexpr double qrs_onset = -0.042;
  const double p_onset = qrs_onset - shape.pr;
  beat.atrial = {shape.right_atrium, shape.left_atrium};
  for (SynthWave& wave : beat.atrial) wave.centre += p_onset;
  beat.ventricular = {shape.septal, shape.main, shape.basal};
  beat.ventricular.insert(beat.ventricular.end(), shape.added.begin(), shape.added.end());
  beat.repolarisation = shape.st;
  beat.repolarisation.push_back(shape.t);
  beat.repolarisation.insert(beat.repolarisation.end(), shape.u.begin(), shape.u.end());
  return beat;
}

double frontal_axis(const SynthBeat& beat, const SynthLeads& leads) {
  Dipole area{};
  for (const SynthWave& wave : beat.ventricular) {
    area = area + wave.dipole * (wave.rise + wave.fall);
  }
  const double lead_i = dot(area, leads[0]);
  const double avf = dot(area, leads[1]) - 0.5 * lead_i;
  return std::atan2(avf * 2 / std::numbers::sqrt3, lead_i) * 180 / std::numbers::pi;
}

}  // namespace

double sokolow_lyon(const SynthBeat& beat, const SynthLeads& leads) {
  return std::max(qrs_extremes(beat, leads[6]).high, qrs_extremes(beat, leads[7]).high) -
         qrs_extremes(beat, leads[2]).low;
}

SynthHeart build_synth_heart(const SynthPlan& plan, std::uint64_t seed) {
  SynthRandom random(seed, SynthStream::shape, static_cast<std::uint32_t>(plan.patient));
  SynthHeart heart;
  heart.leads = leads_of_patient(random);
  const double gain = body_gain(plan, random);
  heart.premature = premature_beat(random);
  SynthShape shape = healthy_shape(plan, random);
  apply_conduction(shape, plan, random);
  apply_infarction(shape, plan, random);
  apply_repolarisation(shape, plan, random);
  apply_hypertrophy(shape, plan, random);
  heart.pr = shape.pr;
  heart.beat = beat_of(shape);
  scale_voltage(heart.beat, gain, std::sqrt(gain));
  settle_voltage(heart.beat, heart.leads, plan);
  if (plan.has("PACE")) {
    heart.beat.ventricular.push_back({{0.5, 1.1, 0.2}, -0.085, 0.0011, 0.0011});
  }
  heart.axis = frontal_axis(heart.beat, heart.leads);
  return heart;
}

}  // namespace cardiograd
