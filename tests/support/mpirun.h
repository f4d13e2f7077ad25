// Starts several processes of a program on this machine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/support/run_program.h"

namespace cardiograd::testing {

// `program`: as run_program's. Runs as root and on fewer cores than processes too. `options`:
// mpirun's own. `started` is called with mpirun's process number. Fails where the machine has no
// mpirun.
ProgramResult mpirun(int ranks, const std::string& program,
                     const std::vector<std::string>& arguments,
                     const std::vector<std::string>& options = {},
                     const std::function<void(int)>& started = {});

// The process number of a rank that this mpirun started; 0 where there is none yet.
int process_of_rank(int mpirun_process, int rank);

}  // namespace cardiograd::testing
