#include "data/synth_shape.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cardiograd {

Dipole operator+(const Dipole& a, const Dipole& b) {
  return {a[0] + b[0], a[1] + b[1], a[2] + b[2]};
}

Dipole operator*(const Dipole& a, double factor) {
  return {a[0] * factor, a[1] * factor, a[2] * factor};
}

double dot(const Dipole& a, const Dipole& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

Dipole normalised(const Dipole& a) { return a * (1 / std::sqrt(dot(a, a))); }

Dipole rotated(const Dipole& a, double frontal, double horizontal) {
  const double f = frontal * std::numbers::pi / 180;
  const double h = horizontal * std::numbers::pi / 180;
  const double x = a[0] * std::cos(h) - a[2] * std::sin(h);
  const double z = a[0] * std::sin(h) + a[2] * std::cos(h);
  return {x * std::cos(f) - a[1] * std::sin(f), x * std::sin(f) + a[1] * std::cos(f), z};
}

SynthShape healthy_shape(const SynthPlan& plan, SynthRandom& random) {
  SynthShape shape;
  const double bmi = plan.weight / (plan.height * plan.height * 1e-4);
  // The heart lies flatter with age and weight.
  const double frontal =
      std::clamp(random.normal(0, 15) - 0.35 * (plan.age - 45) - 0.8 * (bmi - 25), -50.0, 36.0);
  const double horizontal = random.normal(0, 11);
  const double p_size = random.factor(0.2);
  shape.right_atrium = {Dipole{0.03, 0.085, -0.045} * p_size, 0.036, 0.014, 0.015};
  shape.left_atrium = {Dipole{0.06, 0.06, 0.035} * p_size, 0.066, 0.015, 0.016};
  shape.pr = std::clamp(random.normal(0.152, 0.016) + 0.0003 * (plan.age - 50), 0.118, 0.194);

  const double width = random.factor(0.08);
  shape.septal = {Dipole{-0.13, -0.04, -0.32} * random.factor(0.25), -0.021 * width, 0.0085 * width,
                  0.0095 * width};
  shape.main = {Dipole{1.02, 0.58, 0.14}, 0, 0.0105 * width, 0.0105 * width};
  shape.basal = {Dipole{-0.14, -0.13, 0.58} * random.factor(0.2), 0.021 * width, 0.011 * width,
                 0.012 * width};
  for (SynthWave* wave : {&shape.septal, &shape.main, &shape.basal}) {
    wave->dipole = rotated(wave->dipole, frontal, horizontal);
  }

  // Repolarisation follows the QRS axis only in part.
  const double t_size = random.factor(0.25) * (1 - 0.003 * (plan.age - 50));
  shape.t.dipole = rotated(Dipole{0.28, 0.19, -0.20} * t_size, 0.4 * frontal + random.normal(0, 9),
                           random.normal(0, 13));
  shape.t.centre = random.normal(plan.female ? 0.288 : 0.276, 0.013);
  shape.t.rise = 0.052 * random.factor(0.1);
  shape.t.fall = 0.031 * random.factor(0.1);
  // Young men's J points lie high in the chest leads.
  const double j_height = plan.female ? 0.012 : plan.age < 45 ? 0.045 : 0.022;
  shape.st.push_back(
      {Dipole{0.35, 0.2, -0.8} * (j_height * random.factor(0.5)) +
           Dipole{random.normal(0, 0.008), random.normal(0, 0.008), random.normal(0, 0.008)},
       0.12, 0.036, 0.07});
  return shape;
}

}  // namespace cardiograd
