// One heart beat as a moving dipole, and the leads that see it.
//
// The beat is a sum of Gaussian waves, as in McSharry et al., "A dynamical model for generating
// synthetic electrocardiogram signals" (IEEE TBME 50, 2003), with a vector in place of a scalar
// amplitude, as in Sameni et al., "Multichannel ECG and noise modeling: application to maternal and
// fetal ECG signals" (EURASIP JASP, 2007).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/synth_plan.h"

namespace cardiograd {

// Frank's axes, in mV: x to the left, y to the feet, z to the back.
using Dipole = std::array<double, 3>;

struct SynthWave {
  Dipole dipole{};
  double centre = 0;  // s after the main QRS peak
  double rise = 0;    // s, standard deviation before the centre
  double fall = 0;    // s, the same after it
};

// The waves of one kind of beat at a heart rate of 60 per minute.
struct SynthBeat {
  std::vector<SynthWave> atrial;          // P
  std::vector<SynthWave> ventricular;     // Q, R, S, delta wave, pacing spike
  std::vector<SynthWave> repolarisation;  // ST, T, U: centre and width follow the cycle length
};

// I, II, V1 .. V6: the eight independent leads.
constexpr int synth_lead_count = 8;
using SynthLeads = std::array<Dipole, synth_lead_count>;

struct SynthHeart {
  SynthBeat beat;
  SynthBeat premature;  // a ventricular premature beat
  SynthLeads leads;     // mV on each lead per mV of dipole, for this patient
  double axis = 0;      // frontal QRS axis in degrees, 0 = left, 90 = feet
  double pr = 0;        // s from the P onset to the QRS onset
};

// The heart of the plan's patient as it beats in the plan's record.
SynthHeart build_synth_heart(const SynthPlan& plan, std::uint64_t seed);

// SV1 + max(RV5, RV6) in mV of the noise-free beat (Sokolow and Lyon, 1949).
double sokolow_lyon(const SynthBeat& beat, const SynthLeads& leads);

}  // namespace cardiograd
