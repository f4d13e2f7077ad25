// A build without MPI.
#include <chrono>
#include <thread>

#include "trainer/mpi_communicator.h"

namespace cardiograd {

bool mpi_is_built() { return false; }

std::shared_ptr<Communicator> make_mpi_communicator(const Launch& launch, double) {
  throw InputError(name_of(launch.launcher) + " started " + std::to_string(launch.size) +
                   " processes, but this build has no MPI: install libopenmpi-dev and build "
                   "again, or start one process");
}

void pause_mpi(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

void abort_mpi(int) {}

}  // namespace cardiograd
