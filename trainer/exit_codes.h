// What the exit codes of trainer mean; tools/cardiograd uses the first three.
#pragma once

#include <string>

namespace cardiograd {

enum ExitCode : int {
  exit_ok = 0,
  exit_failed = 1,
  exit_wrong_usage = 2,
  exit_interrupted = 75,  // EX_TEMPFAIL of sysexits.h: worth trying again
  exit_lost_rank = 76,    // LostRank
};

// The list for --help.
inline std::string describe_exit_codes() {
  return "Exit codes:\n"
         "  0    done; also where --resume finds the run finished\n"
         "  1    failed; one sentence on standard error says why\n"
         "  2    the command line is wrong\n"
         "  75   stopped by SIGTERM or SIGINT after saving a checkpoint: go on with --resume\n"
         "  76   one of several processes died or hung; one sentence on standard error names its\n"
         "       rank: go on with --resume from the last checkpoint\n"
         "  130  ended at once by a second SIGINT; 137 by SIGKILL: go on with --resume from the\n"
         "       last checkpoint\n";
}

}  // namespace cardiograd
