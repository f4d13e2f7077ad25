#include "tests/support/run_program.h"

#include <gtest/gtest.h>
#include <system_error>

#include "tests/support/temp_folder.h"

namespace cardiograd::testing {
namespace {

ProgramResult run_shell(const std::string& script, const ProgramOptions& options = {}) {
  return run_program("/bin/sh", {"-c", script}, options);
}

TEST(RunProgram, KeepsOutputErrorAndExitCodeApart) {
  const ProgramResult result = run_shell("printf one; printf two >&2; exit 3");
  EXPECT_EQ(result.out, "one");
  EXPECT_EQ(result.err, "two");
  EXPECT_EQ(result.exit_code, 3);
}

TEST(RunProgram, PassesArgumentsAsTheyAre) {
  const ProgramResult result = run_program("/bin/echo", {"a b", "$HOME", "'c'"});
  EXPECT_EQ(result.out, "a b $HOME 'c'\n");
  EXPECT_EQ(result.exit_code, 0);
}

TEST(RunProgram, TakesMoreThanAPipeHolds) {
  ProgramOptions options;
  options.input.assign(1 << 20, 'x');
  const ProgramResult result = run_program("/bin/cat", {}, options);
  EXPECT_EQ(result.out, options.input);
}

TEST(RunProgram, SurvivesAProgramThatDoesNotReadItsInput) {
  ProgramOptions options;
  options.input.assign(1 << 20, 'x');
  EXPECT_EQ(run_shell("exit 0", options).exit_code, 0);
}

TEST(RunProgram, RunsInTheFolderAndWithTheVariablesAskedFor) {
  const TempFolder folder;
  ProgramOptions options;
  options.directory = folder.path();
  options.environment["CARDIOGRAD_TEST_VALUE"] = "as asked";
  const ProgramResult result = run_shell("pwd; echo \"$CARDIOGRAD_TEST_VALUE\"", options);
  EXPECT_EQ(result.out, std::filesystem::canonical(folder.path()).string() + "\nas asked\n");
}

TEST(RunProgram, EndsAProgramWhoseTimeIsUp) {
  ProgramOptions options;
  options.timeout_seconds = 0.2;
  EXPECT_EQ(run_program("/bin/sleep", {"600"}, options).exit_code, 137);
}

TEST(RunProgram, SaysWhatCannotBeRun) {
  try {
    run_program("/nowhere/at-all", {});
    FAIL() << "a program that does not exist was run";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_NE(std::string(error.what()).find("cannot run /nowhere/at-all"), std::string::npos);
  }
}

}  // namespace
}  // namespace cardiograd::testing
