// What the programs' main functions have in common.
#pragma once

#include "trainer/launch.h"

namespace CLI {
class App;
}

namespace cardiograd {

// Runs the verb that the command line names. Returns the exit code (trainer/exit_codes.h): where
// the verb failed or was interrupted, with one sentence on standard error; where the command line
// is wrong, with a sentence and where to read more. As one of several processes it ends the others
// where it failed, and what all of them would say is said once.
int run_command_line(CLI::App& app, int argc, char** argv, const Launch& launch = {});

}  // namespace cardiograd
