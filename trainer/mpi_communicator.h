// The door to MPI: mpi_communicator.cpp where it was found at build time, mpi_stub.cpp elsewhere.
#pragma once

#include <memory>

#include "trainer/communicator.h"

namespace cardiograd {

bool mpi_is_built();

// Starts MPI where that has not happened, and checks that it sees the ranks that the launcher
// announced (InputError else). One communicator a process: later calls give the same, with the new
// time-out. Without MPI in the build: InputError that says what to install.
std::shared_ptr<Communicator> make_mpi_communicator(const Launch& launch, double timeout_seconds);

// Lets time pass. A rank that has given up goes on answering those that have not, so that nobody
// takes it for the missing one.
void pause_mpi(double seconds);

// Ends every rank at once where MPI runs; else returns.
void abort_mpi(int exit_code);

}  // namespace cardiograd
