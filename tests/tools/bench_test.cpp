// `cardiograd bench`: what it says to arguments, and where its figures go.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/run_program.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::ProgramResult;
using testing::read_file;
using testing::run_program;
using testing::TempFolder;
using Arguments = std::vector<std::string>;

ProgramResult bench(Arguments arguments) {
  arguments.insert(arguments.begin(), "bench");
  return run_program("cardiograd", arguments);
}

TEST(Bench, HelpTellsOfKernels) {
  const ProgramResult result = bench({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* word :
       {"--kernels", "--filter", "--json", "[FILE]", "--augment", "--model", "--profile"}) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << " in\n" << result.out;
  }
}

TEST(Bench, KernelsHaveSizesOfTheirOwn) {
  for (const Arguments& other :
       {Arguments{"--model", "cnn"}, Arguments{"--batch", "3"}, Arguments{"--length", "50"},
        Arguments{"--dropout", "0.1"}, Arguments{"--threads", "1"}, Arguments{"--steps", "2"},
        Arguments{"--augment"}, Arguments{"--profile"}}) {
    Arguments arguments{"--kernels"};
    arguments.insert(arguments.end(), other.begin(), other.end());
    const ProgramResult result = bench(arguments);
    EXPECT_EQ(result.exit_code, 2) << other.front();
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "cardiograd bench: " + other.front() + " excludes --kernels" +
                              "\nRun cardiograd bench --help for more.\n");
  }
}

TEST(Bench, FilterIsForKernels) {
  const ProgramResult alone = bench({"--filter", "conv"});
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_EQ(alone.err,
            "cardiograd bench: --filter requires --kernels\nRun cardiograd bench --help for "
            "more.\n");
  const ProgramResult nothing = bench({"--kernels", "--filter", "gradient_nrom"});
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_TRUE(
      nothing.err.starts_with("cardiograd: no kernel benchmark has \"gradient_nrom\" in "
                              "its line; did you mean \"gradient_norm\"? Known are "))
      << nothing.err;
  EXPECT_EQ(bench({"--kernels", "--rounds", "0"}).exit_code, 2);
}

TEST(Bench, KernelsWantAGpu) {
  const ProgramResult cpu = bench({"--kernels", "--device", "cpu"});
  EXPECT_EQ(cpu.exit_code, 1);
  EXPECT_EQ(cpu.out, "");
  EXPECT_EQ(cpu.err,
            "cardiograd: device \"cpu\" has no kernels to time: use \"cuda\" or \"cuda:N\"\n");
}

// Where there is a GPU the figures come, elsewhere one sentence.
TEST(Bench, KernelsAreTimedOrTheReasonIsSaid) {
  const TempFolder folder;
  const std::string file = (folder / "kernels.json").string();
  const ProgramResult result =
      bench({"--kernels", "--filter", "gradient_norm", "--rounds", "1", "--json", file});
  if (result.exit_code == 0) {
    const auto report = nlohmann::json::parse(read_file(folder / "kernels.json"));
    EXPECT_EQ(report.at("kernels").size(), 2U);
    EXPECT_GT(report.at("kernels").at(0).at("microseconds").get<double>(), 0.0);
    EXPECT_NE(result.out.find("gradient_norm"), std::string::npos) << result.out;
    return;
  }
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(result.err.starts_with("cardiograd: this build has no CUDA support") ||
              result.err.starts_with("cardiograd: no CUDA device can be used"))
      << result.err;
  EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(Bench, JsonGoesToAFileBesideTheSentences) {
  const TempFolder folder;
  const Arguments quick{"--augment", "--batch", "2",        "--length", "40",
                        "--steps",   "1",       "--rounds", "1",        "--json"};
  const ProgramResult alone = bench(quick);
  EXPECT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_EQ(nlohmann::json::parse(alone.out).at("batch_size"), 2);
  Arguments written = quick;
  written.push_back((folder / "augment.json").string());
  const ProgramResult beside = bench(written);
  EXPECT_EQ(beside.exit_code, 0) << beside.err;
  EXPECT_TRUE(beside.out.starts_with("batches of 2 x 40 x 12")) << beside.out;
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "augment.json")).at("batch_size"), 2);
}

TEST(Bench, ProfileSaysWhereAStepsTimeGoes) {
  const TempFolder folder;
  const std::string file = (folder / "profile.json").string();
  const ProgramResult result = bench({"--profile", "--batch", "4", "--length", "40", "--steps", "2",
                                      "--rounds", "3", "--json", file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* words :
       {"\n\nWhere the time of a training step goes, the mean of 6 behind the first 3:\nlayer  ",
        "\nfc0    linear_forward ", "between operations",
        "  100.0\nWithout timing its operations, "}) {
    EXPECT_NE(result.out.find(words), std::string::npos) << words << " in\n" << result.out;
  }
  const auto profile = nlohmann::json::parse(read_file(folder / "profile.json")).at("profile");
  double sum = profile.at("between_microseconds").get<double>();
  EXPECT_GE(sum, 0.0);
  std::set<std::string> passes;
  for (const auto& row : profile.at("operations")) {
    sum += row.at("microseconds").get<double>();
    passes.insert(row.at("pass").get<std::string>());
  }
  EXPECT_NEAR(sum, profile.at("step_microseconds").get<double>(), 1e-3);
  EXPECT_EQ(passes, (std::set<std::string>{"forward", "backward", "update"}));
  EXPECT_EQ(profile.at("steps"), 6);
}

TEST(Bench, ProfileIsOfAModel) {
  const ProgramResult result = bench({"--profile", "--augment"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "cardiograd bench: --augment excludes --profile\nRun cardiograd bench --help for "
            "more.\n");
}

}  // namespace
}  // namespace cardiograd
