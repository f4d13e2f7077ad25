#include "tests/support/mpirun.h"

#include <filesystem>
#include <fstream>

namespace cardiograd::testing {

ProgramResult mpirun(int ranks, const std::string& program,
                     const std::vector<std::string>& arguments,
                     const std::vector<std::string>& options,
                     const std::function<void(int)>& started) {
  std::vector<std::string> words{"-np", std::to_string(ranks), "--oversubscribe", "--bind-to",
                                 "none"};
  words.insert(words.end(), options.begin(), options.end());
  words.push_back((std::filesystem::path(CARDIOGRAD_BUILD_DIR) / program).string());
  words.insert(words.end(), arguments.begin(), arguments.end());
  ProgramOptions how;
  how.timeout_seconds = 300.0;
  how.started = started;
  how.environment = {
      {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
      // Containers forbid processes to read each other's memory.
      {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
      {"OMPI_MCA_btl", "self,vader"},
      {"OMPI_MCA_plm_rsh_agent", "true"},  // this machine alone: nobody looks for ssh
      {"TMPDIR", "/tmp"},                  // the names of its sockets have room for 108 letters
      {"OMP_NUM_THREADS", "1"},
      // Open MPI keeps some of its memory to the end.
      {"ASAN_OPTIONS", "detect_leaks=0"},
  };
  return run_program(CARDIOGRAD_MPIEXEC, words, how);
}

int process_of_rank(int mpirun_process, int rank) {
  const std::string proc = "/proc/" + std::to_string(mpirun_process);
  std::ifstream children(proc + "/task/" + std::to_string(mpirun_process) + "/children");
  for (int child = 0; children >> child;) {
    std::ifstream environment("/proc/" + std::to_string(child) + "/environ");
    for (std::string variable; std::getline(environment, variable, '\0');) {
      if (variable == "OMPI_COMM_WORLD_RANK=" + std::to_string(rank)) return child;
    }
  }
  return 0;
}

}  // namespace cardiograd::testing
