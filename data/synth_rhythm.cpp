#include "data/synth_rhythm.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/synth_random.h"

namespace cardiograd {
namespace {

constexpr double first_time = -2.5;  // s
constexpr double last_time = 11.5;   // s

// Cycle lengths of a sinus node, or of whatever else drives the ventricles.
class Cycle {
 public:
  Cycle(const SynthPlan& plan, double respiration, SynthRandom& random)
      : random_(random), mean_(60 / plan.rate), respiration_(respiration) {
    const double youth = std::clamp((80 - plan.age) / 60, 0.1, 1.0);
    sinus_arrhythmia_ = 0.035 * youth * random.factor(0.3);
    mayer_ = 0.012 * random.factor(0.3);
    jitter_ = 0.006;
    if (plan.has("SARRH")) sinus_arrhythmia_ = 0.10 + 0.08 * plan.severity("SARRH");
    if (plan.has("SVARR")) jitter_ = 0.10;
    if (plan.has("AFIB")) jitter_ = 0.21;
    if (plan.has("AFIB") || plan.has("AFLT") || plan.has("PACE") || plan.has("SVTAC") ||
        plan.has("PSVT")) {
      sinus_arrhythmia_ = mayer_ = 0;
    }
    if (plan.has("PACE") || plan.has("SVTAC") || plan.has("PSVT")) jitter_ = 0.002;
    if (plan.has("AFLT")) jitter_ = 0;
    respiration_phase_ = random.phase();
    mayer_phase_ = random.phase();
    flutter_ = plan.has("AFLT");
  }

  double after(double time) {
    constexpr double turn = 2 * std::numbers::pi;
    if (flutter_) {  // every second to fourth flutter wave of 300 per minute is conducted
      const double waves = random_.chance(0.15) ? 2 : random_.chance(0.8) ? 4 : 3;
      return waves * 0.2;
    }
    const double modulation =
        sinus_arrhythmia_ * std::sin(turn * respiration_ * time + respiration_phase_) +
        mayer_ * std::sin(turn * 0.1 * time + mayer_phase_) + jitter_ * random_.normal();
    return std::max(0.31, mean_ * (1 + modulation));
  }

 private:
  SynthRandom& random_;
  double mean_;
  double respiration_;
  double sinus_arrhythmia_ = 0;
  double mayer_ = 0;
  double jitter_ = 0;
  double respiration_phase_ = 0;
  double mayer_phase_ = 0;
  bool flutter_ = false;
};

// Every how many beats an extra one comes; 0: none.
int ectopic_interval(const SynthPlan& plan, SynthRandom& random) {
  if (plan.has("BIGU")) return 2;
  if (plan.has("TRIGU")) return 3;
  if (plan.has("PVC") || plan.has("PAC") || plan.has("PRC(S)")) {
    return 3 + static_cast<int>(random.below(6));
  }
  return 0;
}

std::vector<SynthBeatTime> regular_rhythm(const SynthPlan& plan, Cycle& cycle,
                                          SynthRandom& random) {
  const bool atrial = !plan.has("AFIB") && !plan.has("AFLT") && !plan.has("PACE") &&
                      !plan.has("SVTAC") && !plan.has("PSVT");
  const int interval = ectopic_interval(plan, random);
  const bool ventricular_ectopy = plan.has("PVC");
  const double coupling = random.uniform(0.55, 0.68);
  std::vector<SynthBeatTime> beats;
  double time = first_time + random.uniform() * 60 / plan.rate;
  double length = 60 / plan.rate;
  for (int count = 1; time < last_time; ++count) {
    beats.push_back({time, length, 0, atrial, true, false});
    length = cycle.after(time);
    if (interval > 0 && count % interval == interval - 1) {
      beats.push_back({time + coupling * length, coupling * length, 0.01,
                       atrial && !ventricular_ectopy, true, ventricular_ectopy});
      // The sinus node goes on unaware of a ventricular beat and is reset by an atrial one.
      length *= ventricular_ectopy ? 2.0 : coupling + 1.05;
    }
    time += length;
  }
  return beats;
}

// Wenckebach: PR grows from beat to beat until one P wave is not conducted.
std::vector<SynthBeatTime> dropped_beats(const SynthPlan& plan, Cycle& cycle, SynthRandom& random) {
  std::vector<SynthBeatTime> beats;
  const int group = 3 + static_cast<int>(random.below(3));
  double time = first_time;
  for (int count = static_cast<int>(random.below(4)); time < last_time; ++count) {
    const int place = count % group;
    SynthBeatTime beat;
    beat.pr_extra = 0.05 * std::min(place, group - 2);
    beat.time = time + beat.pr_extra;
    beat.cycle = 60 / plan.rate;
    beat.ventricular = place != group - 1;
    beats.push_back(beat);
    time += cycle.after(time);
  }
  return beats;
}

// Complete block: atria and an escape focus, each at its own pace.
std::vector<SynthBeatTime> dissociated(Cycle& cycle, SynthRandom& random) {
  std::vector<SynthBeatTime> beats;
  for (double time = first_time; time < last_time; time += cycle.after(time)) {
    beats.push_back({time, 1, 0, true, false, false});
  }
  const double escape = 60 / random.uniform(34, 46);
  for (double time = first_time + random.uniform() * escape; time < last_time; time += escape) {
    beats.push_back({time, escape, 0, false, true, false});
  }
  return beats;
}

}  // namespace

double synth_respiration_rate(const SynthPlan& plan, std::uint64_t seed) {
  SynthRandom random(seed, SynthStream::rhythm, static_cast<std::uint32_t>(plan.record));
  return random.uniform(0.19, 0.33);
}

std::vector<SynthBeatTime> make_synth_rhythm(const SynthPlan& plan, std::uint64_t seed) {
  SynthRandom random(seed, SynthStream::rhythm, static_cast<std::uint32_t>(plan.record));
  const double respiration = random.uniform(0.19, 0.33);
  Cycle cycle(plan, respiration, random);
  if (plan.has("3AVB")) return dissociated(cycle, random);
  if (plan.has("2AVB")) return dropped_beats(plan, cycle, random);
  return regular_rhythm(plan, cycle, random);
}

}  // namespace cardiograd
