// What the statements' diseases do to the waves of a healthy beat.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string_view>

#include "data/synth_shape.h"

namespace cardiograd {
namespace {

// The wall of the left ventricle that a statement is about, as a direction from the heart's centre.
struct Territory {
  std::string_view code;
  Dipole wall;
};

constexpr std::array<Territory, 9> infarcts{{{"IMI", {0.10, 1.0, 0.12}},
                                             {"ASMI", {0.12, -0.10, -1.0}},
                                             {"ILMI", {0.65, 0.80, 0.10}},
                                             {"AMI", {0.50, -0.10, -0.90}},
                                             {"ALMI", {0.85, -0.20, -0.60}},
                                             {"LMI", {0.95, -0.35, 0.15}},
                                             {"IPLMI", {0.50, 0.75, 0.50}},
                                             {"IPMI", {0.10, 0.80, 0.70}},
                                             {"PMI", {0.10, 0.15, 1.0}}}};
constexpr std::array<Territory, 5> injuries{{{"INJAS", {0.30, 0.0, -1.0}},
                                             {"INJAL", {0.90, 0.10, -0.50}},
                                             {"INJIN", {0.10, 1.0, 0.0}},
                                             {"INJLA", {1.0, -0.10, 0.0}},
                                             {"INJIL", {0.70, 0.75, 0.0}}}};
constexpr std::array<Territory, 7> ischemias{{{"ISC_", {0.85, 0.45, -0.25}},
                                              {"ISCAL", {0.90, 0.05, -0.50}},
                                              {"ISCIN", {0.10, 1.0, 0.05}},
                                              {"ISCIL", {0.70, 0.75, 0.10}},
                                              {"ISCAS", {0.15, -0.10, -1.0}},
                                              {"ISCLA", {0.95, -0.30, 0.0}},
                                              {"ISCAN", {0.40, -0.05, -0.90}}}};
// Towards the cavity: where the ST vector of diffuse subendocardial trouble points.
constexpr Dipole cavity{-0.78, -0.50, 0.35};

void add_st(SynthShape& shape, const Dipole& dipole) {
  shape.st.push_back({dipole, 0.115, 0.034, 0.085});
}

// Takes `share` of what a wave has along `wall`, if it points there at all.
void weaken(SynthWave& wave, const Dipole& wall, double share) {
  wave.dipole = wave.dipole + wall * (-share * std::max(0.0, dot(wave.dipole, wall)));
}

// Dead muscle makes no field: the early forces turn away from it (Q), fewer come back (small R),
// and T turns away once it heals. While it is fresh, the injury current points to it (ST elevation,
// and depression in the leads opposite).
void infarct(SynthShape& shape, const Dipole& wall, double severity, bool acute) {
  shape.added.push_back(
      {wall * -(0.18 + 0.5 * severity), -0.021, 0.0105, 0.0125 + 0.003 * severity});
  weaken(shape.septal, wall, 0.4 + 0.6 * severity);
  weaken(shape.main, wall, 0.15 + 0.45 * severity);
  if (acute) {
    add_st(shape, wall * (0.05 + 0.19 * severity));
    shape.t.dipole = shape.t.dipole + wall * (0.12 * severity);
  } else {
    add_st(shape, wall * (0.03 * severity));
    weaken(shape.t, wall, 0.35 + 0.5 * severity);
    shape.t.dipole = shape.t.dipole + wall * (-0.02 - 0.13 * severity);
  }
}

void left_bundle_block(SynthShape& shape, double severity) {
  const double slow = 1 + 0.25 * severity;
  const double turn = dot(normalised(shape.main.dipole), Dipole{0, 1, 0});  // the heart's own axis
  shape.septal = {{0.30, 0.05 + 0.15 * turn, 0.30}, -0.020, 0.012, 0.016 * slow};
  shape.main = {{0.62, 0.10 + 0.35 * turn, 0.66}, 0.004, 0.014 * slow, 0.017 * slow};
  shape.basal = {{0.66, 0.05 + 0.30 * turn, 0.50}, 0.048 * slow, 0.017 * slow, 0.014 * slow};
  // Secondary repolarisation runs against the QRS.
  add_st(shape, {-0.11, -0.04, -0.13});
  shape.t.dipole = Dipole{-0.26, -0.06, -0.34} * (0.8 + 0.3 * severity) + shape.t.dipole * 0.15;
  shape.t.centre += 0.035;
}

void incomplete_left_bundle_block(SynthShape& shape, double severity) {
  shape.septal.dipole = Dipole{0.22, 0.06, 0.10};
  for (SynthWave* wave : {&shape.main, &shape.basal}) {
    wave->rise *= 1.2 + 0.2 * severity;
    wave->fall *= 1.2 + 0.2 * severity;
  }
  shape.main.dipole[2] += 0.2;
  shape.basal.centre += 0.006;
  shape.t.dipole[0] *= 0.55;
}

// The right ventricle fires late: a last slow vector to the right and to the front.
void right_bundle_block(SynthShape& shape, double severity, bool complete) {
  if (complete) {
    shape.added.push_back(
        {Dipole{-0.50, -0.06, -0.56} * (0.7 + 0.45 * severity), 0.056, 0.0145, 0.018});
    add_st(shape, {0.02, 0, 0.05});
    shape.t.dipole = shape.t.dipole + Dipole{0.03, 0, 0.20 + 0.08 * severity};
    shape.t.centre += 0.02;
    shape.basal.dipole = shape.basal.dipole * 0.85;
  } else {
    shape.added.push_back(
        {Dipole{-0.40, -0.06, -0.50} * (0.75 + 0.5 * severity), 0.044, 0.0105, 0.0140});
    shape.t.dipole[2] += 0.11;
  }
}

void fascicular_block(SynthShape& shape, double severity, bool anterior, double axis_turn) {
  // Activation starts from the other fascicle, then sweeps to the blocked one.
  if (anterior) {
    shape.septal.dipole = shape.septal.dipole + Dipole{-0.05, 0.24, 0.05};
    shape.main.dipole = rotated(shape.main.dipole, axis_turn, 0);
    shape.basal.dipole = shape.basal.dipole + Dipole{-0.16, -0.26 - 0.2 * severity, 0.08};
  } else {
    shape.septal.dipole = shape.septal.dipole + Dipole{0.12, -0.22, 0};
    shape.main.dipole = rotated(shape.main.dipole, axis_turn, 0);
    shape.basal.dipole = shape.basal.dipole + Dipole{-0.30, 0.18, -0.05};
  }
  shape.main.rise *= 1.12;
  shape.main.fall *= 1.12;
  shape.basal.centre += 0.004;
}

// Frontal direction of a wave in degrees of the body's axes.
double frontal_angle(const Dipole& dipole) {
  return std::atan2(dipole[1], dipole[0]) * 180 / std::numbers::pi;
}

void slow_conduction(SynthShape& shape, double severity) {
  const double slow = 1.36 + 0.4 * severity;
  for (SynthWave* wave : {&shape.septal, &shape.main, &shape.basal}) {
    wave->rise *= slow;
    wave->fall *= slow;
    wave->centre *= slow;
  }
  shape.added.push_back({shape.main.dipole * (0.34 + 0.22 * severity), 0.028 * slow, 0.012, 0.015});
  shape.t.dipole = shape.t.dipole + shape.main.dipole * (-0.08 - 0.10 * severity);
}

void pre_excitation(SynthShape& shape, double severity) {
  shape.pr = 0.085;
  const Dipole delta = shape.main.dipole * (0.30 + 0.25 * severity) + Dipole{0, 0, -0.12};
  shape.added.push_back({delta, -0.030, 0.014, 0.018});
  shape.septal.dipole = shape.septal.dipole * 0.4;
  shape.main.fall *= 1.2;
  shape.t.dipole = shape.t.dipole + delta * (-0.30 * severity);
}

}  // namespace

void apply_conduction(SynthShape& shape, const SynthPlan& plan, SynthRandom& random) {
  if (plan.has("1AVB")) shape.pr = 0.235 + 0.10 * plan.severity("1AVB") + random.uniform(0, 0.015);
  if (plan.has("2AVB")) shape.pr = 0.20;
  if (plan.has("LAFB")) {
    const double target = -52 - 23 * random.uniform();
    const double share = 0.75 + 0.25 * plan.severity("LAFB");
    fascicular_block(shape, plan.severity("LAFB"), true,
                     share * (target - frontal_angle(shape.main.dipole)));
  } else if (plan.has("LPFB")) {
    const double target = 98 + 20 * random.uniform();
    const double share = 0.65 + 0.35 * plan.severity("LPFB");
    fascicular_block(shape, plan.severity("LPFB"), false,
                     share * (target - frontal_angle(shape.main.dipole)));
  }
  if (plan.has("CLBBB")) left_bundle_block(shape, plan.severity("CLBBB"));
  if (plan.has("ILBBB")) incomplete_left_bundle_block(shape, plan.severity("ILBBB"));
  if (plan.has("CRBBB")) right_bundle_block(shape, plan.severity("CRBBB"), true);
  if (plan.has("IRBBB")) right_bundle_block(shape, plan.severity("IRBBB"), false);
  if (plan.has("IVCD")) slow_conduction(shape, plan.severity("IVCD"));
  if (plan.has("WPW")) pre_excitation(shape, plan.severity("WPW"));
  if (plan.has("PACE")) {
    // Paced from the apex of the right ventricle: as in left bundle block, but upwards.
    left_bundle_block(shape, 0.8);
    for (SynthWave* wave : {&shape.septal, &shape.main, &shape.basal}) wave->dipole[1] -= 0.75;
    shape.t.dipole[1] += 0.28;
  }
}

void apply_infarction(SynthShape& shape, const SynthPlan& plan, SynthRandom& random) {
  for (const Territory& territory : infarcts) {
    if (!plan.has(territory.code)) continue;
    const Dipole wall =
        normalised(rotated(normalised(territory.wall), random.normal(0, 6), random.normal(0, 6)));
    infarct(shape, wall, plan.severity(territory.code), plan.acute);
  }
  for (const Territory& territory : injuries) {
    if (!plan.has(territory.code)) continue;
    add_st(shape, normalised(territory.wall) * -(0.06 + 0.15 * plan.severity(territory.code)));
    shape.t.dipole = shape.t.dipole * 0.75;
  }
}

void apply_repolarisation(SynthShape& shape, const SynthPlan& plan, SynthRandom& random) {
  for (const Territory& territory : ischemias) {
    if (!plan.has(territory.code)) continue;
    const Dipole wall = normalised(territory.wall);
    const double severity = plan.severity(territory.code);
    add_st(shape, wall * -(0.03 + 0.08 * severity));
    weaken(shape.t, wall, 0.5 + 0.5 * severity);
    shape.t.dipole = shape.t.dipole + wall * -(0.03 + 0.19 * severity);
  }
  if (const double severity = plan.severity("NDT"); severity > 0) {
    shape.t.dipole = shape.t.dipole * (0.55 - 0.5 * severity) +
                     Dipole{-0.05 * severity, random.normal(0, 0.02), random.normal(0, 0.02)};
  }
  if (const double severity = plan.severity("NST_"); severity > 0) {
    add_st(shape, cavity * (0.04 + 0.09 * severity));
    shape.t.dipole = shape.t.dipole * 0.75;
  }
  if (const double severity = plan.severity("DIG"); severity > 0) {
    shape.st.push_back({cavity * (0.08 + 0.12 * severity), 0.15, 0.05, 0.045});
    shape.t.dipole = shape.t.dipole * 0.6;
    shape.t.centre *= 0.93;
  }
  if (const double severity = plan.severity("LNGQT"); severity > 0) {
    shape.t.centre *= 1.14 + 0.14 * severity;
    shape.t.rise *= 1.15;
    shape.t.fall *= 1.15;
  }
  if (const double severity = plan.severity("EL"); severity > 0) {
    if (random.chance(0.6)) {  // low potassium: T sinks, U rises
      shape.u.push_back(
          {shape.t.dipole * (0.35 + 0.3 * severity), shape.t.centre + 0.16, 0.035, 0.04});
      shape.t.dipole = shape.t.dipole * (0.6 - 0.35 * severity);
      add_st(shape, cavity * (0.03 + 0.04 * severity));
    } else {  // high potassium: tall narrow T
      shape.t.dipole = shape.t.dipole * (1.6 + 0.9 * severity);
      shape.t.rise *= 0.7;
      shape.t.fall *= 0.8;
    }
  }
  if (const double severity = plan.severity("ANEUR"); severity > 0) {
    const Dipole wall = normalised({0.5, -0.1, -0.9});
    infarct(shape, wall, 0.5 * severity, false);
    add_st(shape, wall * (0.08 + 0.1 * severity));
  }
}

void apply_hypertrophy(SynthShape& shape, const SynthPlan& plan, SynthRandom& random) {
  if (const double severity = plan.severity("LVH"); severity > 0) {
    // More muscle on the left and at the back, later activation.
    const double turn = random.uniform(8, 16) * (0.5 + severity);
    shape.main.dipole = rotated(shape.main.dipole, -0.4 * turn, turn);
    shape.main.rise *= 1 + 0.12 * severity;
    shape.main.fall *= 1 + 0.12 * severity;
    shape.basal.dipole[2] *= 1.1;
    shape.t.dipole[0] *= 1 - 0.3 * severity;
  }
  if (const double severity = plan.severity("RVH"); severity > 0) {
    shape.main.dipole =
        rotated(shape.main.dipole, 35 + 40 * severity, 0) + Dipole{0, 0, -0.35 - 0.35 * severity};
    shape.basal.dipole = shape.basal.dipole * 0.35 + Dipole{-0.35 - 0.25 * severity, -0.05, -0.08};
    shape.t.dipole = shape.t.dipole + Dipole{0.02, -0.08 * severity, 0.12 + 0.12 * severity};
    add_st(shape, {0, -0.02, 0.05 * severity});
  }
  if (const double severity = plan.severity("LAO/LAE"); severity > 0) {
    shape.left_atrium.dipole =
        shape.left_atrium.dipole * (1.5 + 0.9 * severity) + Dipole{0, 0, 0.05 * severity};
    shape.left_atrium.centre += 0.014 + 0.016 * severity;
  }
  if (const double severity = plan.severity("RAO/RAE"); severity > 0) {
    shape.right_atrium.dipole = shape.right_atrium.dipole * (1.7 + 1.3 * severity);
  }
  if (const double severity = plan.severity("SEHYP"); severity > 0) {
    shape.septal.dipole = shape.septal.dipole * (1.5 + 1.5 * severity);
  }
}

}  // namespace cardiograd
