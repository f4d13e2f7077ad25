// What a profile says to people and programs.
#include "trainer/profile_report.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace cardiograd {
namespace {

ProfileReport made() {
  ProfileReport report;
  report.steps = 7;
  report.skipped = 3;
  report.step_microseconds = 10000.0;
  report.rows = {{"conv1", "conv1d_forward", Pass::forward, 1.0, 6000.0},
                 {"", "activation_backward", Pass::backward, 2.5, 2000.0},
                 {"fc", "copy", Pass::none, 1.0, 9.0},
                 {"", "optimizer_step", Pass::update, 1.0, 1.0}};
  return report;
}

TEST(ProfileReport, TableEndsWithWhatIsBetweenAndTheStep) {
  EXPECT_EQ(profile_table(made()),
            "Where the time of a training step goes, the mean of 7 behind the first 3:\n"
            "layer  operation            pass      calls      ms      %\n"
            "conv1  conv1d_forward       forward       1   6.000   60.0\n"
            "-      activation_backward  backward    2.5   2.000   20.0\n"
            "-      2 below 0.1 % each   -             2   0.010    0.1\n"
            "-      between operations   -             -   1.990   19.9\n"
            "-      the step             -             -  10.000  100.0\n");
}

TEST(ProfileReport, SaysThatNoStepWasTimed) {
  ProfileReport report;
  report.skipped = 1;
  EXPECT_EQ(profile_table(report),
            "No step was timed: the run had 1 step, and the first 3 are not counted.\n");
  report.skipped = 3;
  EXPECT_EQ(profile_table(report),
            "No step was timed: the run had 3 steps, and the first 3 are not counted.\n");
  EXPECT_EQ(profile_json(report).at("between_microseconds"), 0.0);
}

TEST(ProfileReport, JsonHasEveryRow) {
  const nlohmann::ordered_json report = profile_json(made());
  EXPECT_EQ(report.at("steps"), 7);
  EXPECT_EQ(report.at("skipped_steps"), 3);
  EXPECT_EQ(report.at("step_microseconds"), 10000.0);
  EXPECT_EQ(report.at("between_microseconds"), 1990.0);
  ASSERT_EQ(report.at("operations").size(), 4U);
  EXPECT_EQ(report.at("operations").at(1),
            (nlohmann::ordered_json{{"layer", ""},
                                    {"operation", "activation_backward"},
                                    {"pass", "backward"},
                                    {"calls", 2.5},
                                    {"microseconds", 2000.0},
                                    {"share", 0.2}}));
}

}  // namespace
}  // namespace cardiograd
