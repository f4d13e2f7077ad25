// What `trainer` and `cardiograd` say to a command line, right or wrong.
#include <gtest/gtest.h>

#include "tests/support/run_program.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::ProgramResult;
using testing::run_program;
using testing::TempFolder;
using Arguments = std::vector<std::string>;

constexpr int wrong_usage = 2;

void expect_help(const std::string& program, const Arguments& arguments, const Arguments& words) {
  const ProgramResult result = run_program(program, arguments);
  EXPECT_EQ(result.exit_code, 0) << program;
  EXPECT_EQ(result.err, "") << program;
  for (const std::string& word : words) {
    EXPECT_NE(result.out.find(word), std::string::npos) << word << " in\n" << result.out;
  }
}

void expect_refusal(const std::string& program, const Arguments& arguments,
                    const std::string& said) {
  const ProgramResult result = run_program(program, arguments);
  EXPECT_EQ(result.exit_code, wrong_usage) << said;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, said);
}

TEST(CommandLine, HelpNamesEveryVerbAndItsOptions) {
  expect_help("cardiograd", {"--help"}, {"synth", "prepare", "score", "convert", "info"});
  expect_help("cardiograd", {"synth", "--help"}, {"--out", "--records", "--rate", "--seed"});
  expect_help("cardiograd", {"prepare", "--help"}, {"--root", "--rate", "--out", "--keep-going"});
  expect_help("cardiograd", {"score", "--help"}, {"--targets", "--predictions", "--json"});
  expect_help("cardiograd", {"convert", "--help"}, {"in", "out", "--force", "Examples:"});
  expect_help("cardiograd", {"predict", "--help"},
              {"--model", "--record", "--note-embedding", "--plot", "--layout", "--json"});
  expect_help("cardiograd", {"plot", "--help"}, {"--out", "--kind", "calibration", "all"});
  expect_help("cardiograd", {"info", "--help"}, {"Usage"});
  expect_help("trainer", {"--help"}, {"fit", "eval", "models"});
  expect_help("trainer", {"fit", "--help"}, {"config", "overrides", "--help-config"});
  expect_help("trainer", {"eval", "--help"}, {"--data", "--fold", "--json"});
  expect_help("trainer", {"fit", "--help-config"}, {"train.lr = 0.0001", "data.path"});
  expect_help("trainer", {"models"}, {"cnn", "mmcnn_sum", "mmcnn_cat"});
}

TEST(CommandLine, BenchTimesAugmentedBatches) {
  const ProgramResult result =
      run_program("cardiograd", {"bench", "--augment", "--batch", "3", "--length", "50", "--steps",
                                 "1", "--rounds", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* set : {"\"none\":", "\"seed\":", "\"all\":"}) {
    EXPECT_NE(result.out.find(set), std::string::npos) << result.out;
  }
}

TEST(CommandLine, VersionsAreOneLine) {
  for (const auto& [program, arguments] : std::vector<std::pair<std::string, Arguments>>{
           {"cardiograd", {"--version"}}, {"cardiograd", {"info"}}, {"trainer", {"--version"}}}) {
    const ProgramResult result = run_program(program, arguments);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_TRUE(result.out.starts_with(program + " ")) << result.out;
    EXPECT_EQ(result.out.find('\n'), result.out.size() - 1) << result.out;
  }
  EXPECT_NE(run_program("cardiograd", {"info"}).out.find("cpu ("), std::string::npos);
}

TEST(CommandLine, AWrongVerbIsNamedWithTheNearestOne) {
  expect_refusal("trainer", {"fitt", "a.toml"},
                 "trainer: there is no verb \"fitt\"; did you mean \"fit\"? Known are fit, eval, "
                 "find-lr, models\nRun trainer --help for more.\n");
  expect_refusal("trainer", {},
                 "trainer: a verb is missing; known are fit, eval, find-lr, models\n"
                 "Run trainer --help for more.\n");
  const ProgramResult unknown = run_program("cardiograd", {"train"});
  EXPECT_EQ(unknown.exit_code, wrong_usage);
  EXPECT_TRUE(unknown.err.starts_with("cardiograd: there is no verb \"train\"; ")) << unknown.err;
}

TEST(CommandLine, AWrongOptionIsNamed) {
  expect_refusal(
      "cardiograd", {"prepare", "--root", "x"},
      "cardiograd prepare: --out is required\nRun cardiograd prepare --help for more.\n");
  expect_refusal("trainer", {"fit"},
                 "trainer fit: config is required\nRun trainer fit --help for more.\n");
  for (const Arguments& arguments :
       {Arguments{"eval", "run", "--fold", "11"}, Arguments{"eval", "run", "--fold", "ten"},
        Arguments{"eval", "run", "--nonsense"}, Arguments{"eval", "--checkpoint", "last"}}) {
    const ProgramResult result = run_program("trainer", arguments);
    EXPECT_EQ(result.exit_code, wrong_usage) << arguments.back();
    EXPECT_TRUE(result.err.starts_with("trainer eval: ")) << result.err;
    const std::string named = arguments.back() == "last" ? "run is required" : arguments.back();
    EXPECT_NE(result.err.find(named), std::string::npos) << result.err;
  }
  const ProgramResult rate =
      run_program("cardiograd", {"prepare", "--root", "x", "--out", "y", "--rate", "250"});
  EXPECT_EQ(rate.exit_code, wrong_usage);
  EXPECT_TRUE(rate.err.starts_with("cardiograd prepare: --rate: 250 not in {")) << rate.err;
}

TEST(CommandLine, OutputThatCannotBeWrittenIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "/dev/full is missing";
  const ProgramResult result =
      run_program("/bin/sh", {"-c", "\"$0\" models > /dev/full", CARDIOGRAD_BUILD_DIR "/trainer"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "trainer: standard output cannot be written\n");
}

}  // namespace
}  // namespace cardiograd
