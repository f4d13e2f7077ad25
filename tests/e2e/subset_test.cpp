// The main job, from WFDB files to the test folds' AUROC, with the configs as they ship.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/run_program.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using nlohmann::json;
using testing::ProgramResult;
using testing::read_file;
using testing::run_program;
using testing::shared_path;
using testing::TempFolder;
using Arguments = std::vector<std::string>;

std::string run(const std::string& program, const Arguments& arguments) {
  const ProgramResult result = run_program(program, arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

// Packs the data set below `root` and trains the seed's CNN; test.json.
json train_cnn(const TempFolder& folder, const std::string& root, const Arguments& overrides) {
  const std::string packed = (folder / "packed").string();
  const std::string out =
      run("cardiograd", {"prepare", "--root", root, "--rate", "100", "--out", packed});
  EXPECT_NE(out.find("set aside    0\n"), std::string::npos) << out;
  Arguments arguments{"fit",
                      CARDIOGRAD_SOURCE_DIR "/trainer/configs/seed/cnn.toml",
                      "data.path=" + packed,
                      "run.dir=" + (folder / "run").string(),
                      "train.seed=0",
                      "run.plots=false",
                      "--quiet"};
  arguments.insert(arguments.end(), overrides.begin(), overrides.end());
  run("trainer", arguments);
  return json::parse(read_file(folder / "run/test.json"));
}

// The weakest of PyTorch's runs on the same records reached 0.80.
TEST(EndToEnd, TheSeedsCnnLearnsFromRealRecords) {
  CARDIOGRAD_NEEDS_SHARED("ptbxl-subset");
  const TempFolder folder;
  const json test = train_cnn(folder, shared_path("ptbxl-subset").string(), {});
  EXPECT_EQ(test.at("records"), 162);  // 164 less 2 without a superclass
  EXPECT_GE(test.at("macro_auroc").get<double>(), 0.78);
}

TEST(EndToEnd, TheSeedsCnnLearnsFromSyntheticRecords) {
  const TempFolder folder;
  const std::string root = (folder / "ptbxl").string();
  run("cardiograd", {"synth", "--out", root, "--records", "2000", "--rate", "100"});
  const json test = train_cnn(folder, root, {"train.epochs=12"});
  EXPECT_GE(test.at("macro_auroc").get<double>(), 0.90);
}

}  // namespace
}  // namespace cardiograd
