// That the synthetic hearts differ as their statements say, and that the leads keep their laws.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <vector>

#include "data/synth_beat.h"
#include "data/synth_plan.h"
#include "data/synth_report.h"
#include "data/synth_rhythm.h"
#include "data/synth_signal.h"

namespace cardiograd {
namespace {

// The first `count` patients with `code`, at least so severe.
std::vector<SynthPlan> plans_with(std::string_view code, std::size_t count, double least = 0) {
  std::vector<SynthPlan> plans;
  for (std::int64_t record = 1; plans.size() < count && record < 60'000; ++record) {
    SynthPlan plan = plan_synth_record(1, record);
    if (plan.visit == 0 && plan.has(code) && plan.severity(code) >= least) plans.push_back(plan);
  }
  return plans;
}

double projected(const std::vector<SynthWave>& waves, const Dipole& lead, double time) {
  double value = 0;
  for (const SynthWave& wave : waves) {
    const double u = (time - wave.centre) / (time < wave.centre ? wave.rise : wave.fall);
    value += (wave.dipole[0] * lead[0] + wave.dipole[1] * lead[1] + wave.dipole[2] * lead[2]) *
             std::exp(-0.5 * u * u);
  }
  return value;
}

// ms from the first to the last moment at which a lead's noise-free QRS is steeper than 5 mV/s.
double qrs_width(const SynthHeart& heart) {
  double first = 1;
  double last = -1;
  for (double time = -0.12; time < 0.2; time += 0.001) {
    for (const Dipole& lead : heart.leads) {
      const double rise = projected(heart.beat.ventricular, lead, time + 0.0005) -
                          projected(heart.beat.ventricular, lead, time - 0.0005);
      if (std::abs(rise) < 0.005) continue;
      first = std::min(first, time);
      last = std::max(last, time);
    }
  }
  return 1000 * (last - first);
}

template <class Measure>
double mean_over(const std::vector<SynthPlan>& plans, Measure measure) {
  double sum = 0;
  for (const SynthPlan& plan : plans) sum += measure(build_synth_heart(plan, 1));
  return sum / static_cast<double>(plans.size());
}

TEST(SynthSignals, LimbLeadsFollowEinthovenAndGoldberger) {
  for (std::int64_t record : {1, 7, 33}) {
    const SynthSignal signal = make_synth_signal(plan_synth_record(1, record), 1);
    ASSERT_EQ(signal.low.size(), 12'000U);
    ASSERT_EQ(signal.high.size(), 60'000U);
    for (const auto& samples : {signal.low, signal.high}) {
      for (std::size_t i = 0; i < samples.size(); i += 12) {
        const int one = samples[i];
        const int two = samples[i + 1];
        ASSERT_EQ(samples[i + 2], two - one);
        ASSERT_LE(std::abs(2 * samples[i + 3] + one + two), 1);
        ASSERT_LE(std::abs(2 * samples[i + 4] - (2 * one - two)), 1);
        ASSERT_LE(std::abs(2 * samples[i + 5] - (2 * two - one)), 1);
      }
    }
  }
}

TEST(SynthSignals, LowRateIsTheSameSignalWithoutMains) {
  const SynthSignal signal = make_synth_signal(plan_synth_record(1, 11), 1);
  double difference = 0;
  double power = 0;
  for (std::size_t i = 1; i < 999; ++i) {
    double mean = 0;  // of the 500 Hz samples around one at 100 Hz
    for (std::size_t k = 0; k < 5; ++k) mean += signal.high[(5 * i + k - 2) * 12 + 1] / 5.0;
    const double low = signal.low[i * 12 + 1];
    difference += (low - mean) * (low - mean);
    power += low * low;
  }
  EXPECT_LT(difference, 0.03 * power);
}

TEST(SynthHearts, AnteriorInfarctsRaiseStInV2ToV4) {
  const auto st = [](const SynthHeart& heart) {
    double sum = 0;
    for (std::size_t lead = 3; lead < 6; ++lead) {
      sum += projected(heart.beat.repolarisation, heart.leads[lead], 0.1) / 3;
    }
    return sum;
  };
  auto acute = plans_with("ASMI", 150, 0.5);
  std::erase_if(acute, [](const SynthPlan& plan) { return !plan.acute; });
  ASSERT_GT(acute.size(), 10U);
  EXPECT_GT(mean_over(acute, st), mean_over(plans_with("NORM", 60), st) + 0.1);
}

TEST(SynthHearts, InferiorInfarctsLeaveQWavesInAvf) {
  const auto q = [](const SynthHeart& heart) {
    double lowest = 0;
    for (double time = -0.05; time < 0; time += 0.001) {
      const double one = projected(heart.beat.ventricular, heart.leads[0], time);
      const double two = projected(heart.beat.ventricular, heart.leads[1], time);
      lowest = std::min(lowest, two - 0.5 * one);
    }
    return lowest;
  };
  EXPECT_LT(mean_over(plans_with("IMI", 60, 0.5), q), mean_over(plans_with("NORM", 60), q) - 0.15);
}

TEST(SynthHearts, IschaemiaTurnsTheLateralTWave) {
  const auto t_v5 = [](const SynthHeart& heart) {
    return projected(heart.beat.repolarisation, heart.leads[6], 0.28);
  };
  EXPECT_GT(mean_over(plans_with("NORM", 60), t_v5), 0.2);
  EXPECT_LT(mean_over(plans_with("ISCAL", 40, 0.5), t_v5), -0.05);
}

TEST(SynthHearts, BundleBlocksWidenTheQrs) {
  const double normal = mean_over(plans_with("NORM", 40), qrs_width);
  EXPECT_GT(normal, 60);
  EXPECT_LT(normal, 110);
  EXPECT_GT(mean_over(plans_with("CLBBB", 30), qrs_width), normal + 30);
  EXPECT_GT(mean_over(plans_with("CRBBB", 30), qrs_width), normal + 25);
}

TEST(SynthHearts, LeftHypertrophyMeetsTheVoltageCriterion) {
  const auto index = [](const SynthHeart& heart) { return sokolow_lyon(heart.beat, heart.leads); };
  EXPECT_GT(mean_over(plans_with("LVH", 40, 0.5), index), 3.5);
  EXPECT_LT(mean_over(plans_with("NORM", 60), index), 3.0);
}

TEST(SynthHearts, HypertrophyWithABlockKeepsVoltagesThatHeartsHave) {
  double largest = 0;
  int found = 0;
  for (const SynthPlan& plan : plans_with("LVH", 400)) {
    if (!plan.has("LAFB") && !plan.has("CRBBB")) continue;
    ++found;
    const SynthHeart heart = build_synth_heart(plan, 1);
    for (const Dipole& lead : heart.leads) {
      double low = 0;
      double high = 0;
      for (double time = -0.08; time < 0.1; time += 0.002) {
        const double value = projected(heart.beat.ventricular, lead, time);
        low = std::min(low, value);
        high = std::max(high, value);
      }
      largest = std::max(largest, high - low);
    }
  }
  EXPECT_GT(found, 10);
  EXPECT_LT(largest, 5.5) << "mV from trough to peak";
}

TEST(SynthHearts, HemiblockTurnsTheAxisAndFirstDegreeBlockStretchesPr) {
  const auto axis = [](const SynthHeart& heart) { return heart.axis; };
  const auto pr = [](const SynthHeart& heart) { return heart.pr; };
  const auto normal = plans_with("NORM", 60);
  EXPECT_LT(mean_over(plans_with("LAFB", 40, 0.5), axis), -30);
  EXPECT_GT(mean_over(normal, axis), 15);
  EXPECT_GT(mean_over(plans_with("1AVB", 30), pr), 0.2);
  for (const SynthPlan& plan : normal) {
    if (!plan.has("1AVB")) {
      EXPECT_LT(build_synth_heart(plan, 1).pr, 0.2);
    }
  }
}

TEST(SynthRhythms, FibrillationIsIrregularAndWithoutPWaves) {
  const auto spread = [](const SynthPlan& plan) {
    const auto beats = make_synth_rhythm(plan, 1);
    double low = 10;
    double high = 0;
    for (std::size_t i = 1; i < beats.size(); ++i) {
      low = std::min(low, beats[i].time - beats[i - 1].time);
      high = std::max(high, beats[i].time - beats[i - 1].time);
    }
    return (high - low) * plan.rate / 60;
  };
  for (const SynthPlan& plan : plans_with("AFIB", 10)) {
    EXPECT_GT(spread(plan), 0.3);
    for (const SynthBeatTime& beat : make_synth_rhythm(plan, 1)) EXPECT_FALSE(beat.atrial);
  }
  for (const SynthPlan& plan : plans_with("SR", 30)) {
    if (!plan.has("PVC") && !plan.has("PAC") && !plan.has("2AVB") && !plan.has("3AVB")) {
      EXPECT_LT(spread(plan), 0.3);
    }
  }
}

TEST(SynthReports, VaryAndFollowTheStatements) {
  std::set<std::string> texts;
  int with_name = 0;
  for (const SynthPlan& plan : plans_with("CLBBB", 60)) {
    const std::string text = make_synth_report(plan, 0, 1);
    EXPECT_FALSE(text.empty());
    texts.insert(text);
    for (const char* name : {"linksschenkelblock", "left bundle branch block", "lbbb", "lsb"}) {
      if (text.find(name) != std::string::npos) {
        ++with_name;
        break;
      }
    }
  }
  EXPECT_GT(with_name, 50);
  EXPECT_GT(texts.size(), 45U);
}

}  // namespace
}  // namespace cardiograd
