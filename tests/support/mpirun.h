// Starts several processes of a program on this machine.
#pragma once

#include <string>
#include <vector>

#include "tests/support/run_program.h"

namespace cardiograd::testing {

// `program`: as run_program's. Runs as root and on fewer cores than processes too. `options`:
// mpirun's own. Fails where the machine has no mpirun.
ProgramResult mpirun(int ranks, const std::string& program,
                     const std::vector<std::string>& arguments,
                     const std::vector<std::string>& options = {});

}  // namespace cardiograd::testing
