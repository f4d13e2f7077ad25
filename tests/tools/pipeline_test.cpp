// synth, prepare, fit, eval and score: the main job, as a user runs it.
#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/run_program.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using nlohmann::json;
using testing::ProgramResult;
using testing::read_file;
using testing::run_program;
using testing::TempFolder;
using Arguments = std::vector<std::string>;

ProgramResult run(const std::string& program, const Arguments& arguments) {
  const ProgramResult result = run_program(program, arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result;
}

// Exactly one JSON object, on one line.
json only_object(const std::string& text) {
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
  return json::parse(text);
}

TEST(Pipeline, FromSyntheticRecordsToScores) {
  const TempFolder folder;
  const auto at = [&](const char* name) { return (folder / name).string(); };
  run("cardiograd", {"synth", "--out", at("ptbxl"), "--records", "120", "--rate", "100"});
  const ProgramResult packed =
      run("cardiograd", {"prepare", "--root", at("ptbxl"), "--rate", "100", "--out", at("packed")});
  EXPECT_NE(packed.out.find("packed       120 of 120 records at 100 Hz"), std::string::npos);

  const ProgramResult fit =
      run("trainer", {"fit", CARDIOGRAD_SOURCE_DIR "/trainer/configs/seed/cnn.toml",
                      "data.path=" + at("packed"), "run.dir=" + at("run"), "train.epochs=2",
                      "run.plots=false", "--json"});
  EXPECT_EQ(std::count(fit.err.begin(), fit.err.end(), '\r'), 0) << "no bar in a pipe";
  EXPECT_NE(fit.err.find("epoch 2/2  train loss"), std::string::npos) << fit.err;
  const json test = json::parse(read_file(folder / "run/test.json"));
  EXPECT_EQ(only_object(fit.out).at("macro_auroc"), test.at("macro_auroc"));

  const ProgramResult eval = run("trainer", {"eval", at("run"), "--json"});
  EXPECT_EQ(only_object(eval.out).at("macro_auroc"), test.at("macro_auroc"));
  EXPECT_EQ(only_object(eval.out).at("loss"), test.at("loss"));
  const ProgramResult other =
      run("trainer", {"eval", at("run"), "--fold", "9", "--data", at("packed"), "--quiet"});
  EXPECT_EQ(other.err, "");
  EXPECT_NE(other.out.find("macro AUROC"), std::string::npos);

  const ProgramResult score =
      run("cardiograd", {"score", "--targets", at("run/test_targets.npy"), "--predictions",
                         at("run/test_predictions.npy"), "--json"});
  EXPECT_EQ(only_object(score.out).at("macro_auroc"), test.at("macro_auroc"));
}

}  // namespace
}  // namespace cardiograd
