// A beat whose waves still have names, so that a disease can change the ones that it touches.
#pragma once

#include <vector>

#include "data/synth_beat.h"
#include "data/synth_plan.h"
#include "data/synth_random.h"

namespace cardiograd {

struct SynthShape {
  SynthWave right_atrium;
  SynthWave left_atrium;
  double pr = 0.16;  // s, P onset to QRS onset
  SynthWave septal;
  SynthWave main;
  SynthWave basal;
  std::vector<SynthWave> added;  // further QRS waves
  std::vector<SynthWave> st;
  SynthWave t;
  std::vector<SynthWave> u;
};

Dipole operator+(const Dipole& a, const Dipole& b);
Dipole operator*(const Dipole& a, double factor);
double dot(const Dipole& a, const Dipole& b);
Dipole normalised(const Dipole& a);
// Turns by degrees: `frontal` from the left arm towards the feet, `horizontal` from left to back.
Dipole rotated(const Dipole& a, double frontal, double horizontal);

// A healthy heart in a body of the plan's age, sex and build.
SynthShape healthy_shape(const SynthPlan& plan, SynthRandom& random);

// What each group of statements does to it. The order below is the order of use.
void apply_conduction(SynthShape& shape, const SynthPlan& plan, SynthRandom& random);
void apply_infarction(SynthShape& shape, const SynthPlan& plan, SynthRandom& random);
void apply_repolarisation(SynthShape& shape, const SynthPlan& plan, SynthRandom& random);
void apply_hypertrophy(SynthShape& shape, const SynthPlan& plan, SynthRandom& random);

}  // namespace cardiograd
