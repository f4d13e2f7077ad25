// Who started this process, and as which of how many: told by the environment that launchers set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cardiograd {

enum class Launcher : std::uint8_t {
  none,         // a plain call: one process
  mpirun,       // Open MPI: OMPI_COMM_WORLD_SIZE, _RANK, _LOCAL_RANK, _LOCAL_SIZE
  srun,         // Slurm: SLURM_STEP_NUM_TASKS, SLURM_PROCID, SLURM_LOCALID, SLURM_NODEID
  environment,  // torchrun and others: WORLD_SIZE, RANK, LOCAL_RANK, LOCAL_WORLD_SIZE
};

// "mpirun", "srun", ...
std::string name_of(Launcher launcher);

struct Launch {
  Launcher launcher = Launcher::none;
  int rank = 0;
  int size = 1;
  int local_rank = 0;          // among the ranks of this machine: the number of its GPU
  int local_size = 1;          // ranks of this machine; all of them where the launcher does not say
  std::string master_address;  // MASTER_ADDR and MASTER_PORT: where rank 0 listens; "" and 0 where
  int master_port = 0;         // unset

  bool alone() const { return size == 1; }
  // Rank 0 alone prints results and progress and writes the run's folder.
  bool is_first() const { return rank == 0; }
};

// Throws InputError that names the variable where values are malformed or contradict each other.
// A plain call in a Slurm batch script (SLURM_NTASKS without a job step) is one process. Under
// torchrun, whose own agent listens on MASTER_PORT, master_port is the next one.
Launch detect_launch(const std::map<std::string, std::string>& environment);
// The same of this process's environment.
Launch detect_launch();

// The CPUs that a rank may run on, and its machine.
struct CpuSet {
  std::string machine;
  std::vector<int> cpus;
};
CpuSet cpus_of_this_process();

// Of the CPUs that `rank` may run on, its share: a CPU that k ranks of its machine may use counts
// 1/k; rounded down, at least 1. With no binding that is cores / local size; ranks that the
// launcher bound to CPUs of their own keep them all.
int fair_thread_count(const std::vector<CpuSet>& ranks, std::size_t rank);

}  // namespace cardiograd
