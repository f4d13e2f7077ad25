// `cardiograd score`, as a user runs it.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/npy.h"
#include "tests/support/run_program.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using cardiograd::testing::ProgramResult;
using cardiograd::testing::run_program;
using cardiograd::testing::shared_path;
using cardiograd::testing::TempFolder;

class Score : public ::testing::Test {
 protected:
  void SetUp() override {
    write("targets.npy", {4, 2}, {1, 0, 0, 0, 1, 0, 0, 0});
    write("predictions.npy", {4, 2}, {.9, .1, .4, .7, .4, .6, .7, .2});
  }

  void write(const std::string& name, const std::vector<std::int64_t>& shape,
             const std::vector<double>& values) const {
    write_npy(folder_ / name, shape, values);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  ProgramResult score(const std::vector<std::string>& more,
                      const std::string& predictions = "predictions.npy") const {
    std::vector<std::string> arguments{"score", "--targets", path("targets.npy"), "--predictions",
                                       path(predictions)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program("cardiograd", arguments);
  }
  void expect_refusal(const ProgramResult& result, const std::string& sentence) const {
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "cardiograd: " + sentence + "\n");
  }

  TempFolder folder_;
};

TEST_F(Score, PrintsATable) {
  const ProgramResult result = score({"--class-names", "MI,NORM"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_NE(result.out.find("macro AUROC  0.6250\n"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("one kind of label): NORM\n"), std::string::npos) << result.out;
}

TEST_F(Score, PrintsOneJsonObjectAndNothingElse) {
  const ProgramResult result = score({"--class-names", "MI,NORM", "--json", "--bootstrap", "50"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const auto json = nlohmann::json::parse(result.out);  // throws when anything follows the object
  ASSERT_TRUE(json.is_object());
  EXPECT_EQ(json["macro_auroc"], 0.625);
  EXPECT_EQ(json["classes"][1]["name"], "NORM");
  EXPECT_TRUE(json["classes"][1]["auroc"].is_null());
  EXPECT_LE(json["bootstrap"]["resamples"], 50);
}

TEST_F(Score, SeedDecidesTheResamples) {
  const auto with_seed = [&](const std::string& seed) {
    return score({"--json", "--bootstrap", "50", "--seed", seed}).out;
  };
  EXPECT_EQ(with_seed("0"), score({"--json", "--bootstrap", "50"}).out);
  EXPECT_EQ(with_seed("5"), with_seed("5"));
  EXPECT_NE(with_seed("5"), with_seed("6"));
}

TEST_F(Score, RefusesShapesThatDiffer) {
  write("predictions.npy", {2, 4}, {.9, .1, .4, .7, .4, .6, .7, .2});
  expect_refusal(score({"--json"}), path("targets.npy") + " has shape [4, 2], but " +
                                        path("predictions.npy") + " has shape [2, 4]");
  write("predictions.npy", {2, 2, 2}, {.9, .1, .4, .7, .4, .6, .7, .2});
  expect_refusal(score({}), path("predictions.npy") +
                                ": an array of shape [records, classes] is wanted, not [2, 2, 2]");
}

TEST_F(Score, RefusesNamesThatDoNotFit) {
  expect_refusal(score({"--class-names", "MI"}),
                 "--class-names has 1 names, but " + path("targets.npy") + " has 2 classes");
}

TEST_F(Score, RefusesAMissingFile) {
  expect_refusal(score({}, "absent.npy"), path("absent.npy") + ": there is no such file");
}

TEST_F(Score, RefusesBootstrapIdsThatAreNotRecordNumbers) {
  write("ids.npy", {1, 2}, {0, 1});
  expect_refusal(
      score({"--bootstrap-ids", path("ids.npy")}),
      path("ids.npy") + ": an array of integers of shape [resamples, records] is wanted");
  const std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2)}";
  const std::string file =
      std::string("\x93NUMPY\1\0", 8) + static_cast<char>(header.size()) + '\0';
  folder_.write("ids.npy", file + header + std::string("\0\1\2\4", 4));
  expect_refusal(score({"--bootstrap-ids", path("ids.npy")}),
                 path("ids.npy") +
                     ": the bootstrap id in row 1, column 1 is 4, but the records are "
                     "numbered 0 to 3");
}

TEST_F(Score, RefusesOptionsThatExcludeEachOther) {
  const ProgramResult both = score({"--bootstrap", "5", "--bootstrap-ids", path("targets.npy")});
  EXPECT_NE(both.exit_code, 0);
  EXPECT_EQ(both.out, "");
  EXPECT_NE(both.err.find(" excludes --bootstrap"), std::string::npos) << both.err;
  const ProgramResult seed = score({"--seed", "5"});
  EXPECT_NE(seed.exit_code, 0);
  EXPECT_NE(seed.err.find("--seed requires --bootstrap"), std::string::npos) << seed.err;
}

TEST_F(Score, ReproducesThePublishedFigures) {
  CARDIOGRAD_NEEDS_SHARED("golden/metrics");
  const auto folder = shared_path("golden/metrics");
  const ProgramResult result = run_program(
      "cardiograd", {"score", "--targets", (folder / "y_true.npy").string(), "--predictions",
                     (folder / "y_prob.npy").string(), "--bootstrap-ids",
                     (folder / "bootstrap_ids.npy").string(), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_NEAR(json["macro_auroc"].get<double>(), 0.9254358590055028, 1e-12);
  EXPECT_NEAR(json["bootstrap"]["q95"].get<double>(), 0.9314845724252189, 1e-9);
}

}  // namespace
}  // namespace cardiograd
