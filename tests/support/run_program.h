// Runs a program to its end, without a shell.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace cardiograd::testing {

struct ProgramResult {
  int exit_code = 0;  // 128 + the signal's number where a signal ended it, as a shell says it
  std::string out;    // standard output
  std::string err;    // standard error
};

struct ProgramOptions {
  std::filesystem::path directory;                 // where it runs; empty: here
  std::map<std::string, std::string> environment;  // added to ours
  std::string input;                               // standard input
  double timeout_seconds = 600.0;                  // then it is killed (exit code 137)
  std::function<void(int)> started;                // called with its process number
};

// `program`: a path; or a name, looked up in the build directory (trainer, cardiograd).
// Throws std::system_error when it cannot be started.
ProgramResult run_program(const std::filesystem::path& program,
                          const std::vector<std::string>& arguments,
                          const ProgramOptions& options = {});

}  // namespace cardiograd::testing
