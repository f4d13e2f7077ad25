// A build that found neither MPI nor NCCL: its stubs are linked into this program, whatever the
// build itself has.
#include <gtest/gtest.h>

#include "kernels/backend.h"
#include "kernels/device_group.h"
#include "tests/support/temp_folder.h"
#include "trainer/communicator.h"
#include "trainer/exit_codes.h"
#include "trainer/mpi_communicator.h"

namespace cardiograd {
namespace {

using testing::error_of;

TEST(WithoutMpi, SeveralProcessesAreRefusedAndOneRuns) {
  EXPECT_FALSE(mpi_is_built());
  Launch launch;
  launch.launcher = Launcher::mpirun;
  launch.size = 4;
  EXPECT_EQ(error_of([&] { make_communicator(launch, make_backend("cpu")); }),
            "mpirun started 4 processes, but this build has no MPI: install libopenmpi-dev and "
            "build again, or start one process");
  EXPECT_EQ(make_communicator({}, make_backend("cpu"))->name(), "one process");
}

TEST(WithoutMpi, AnErrorOfARankIsPrintedWithItsNumber) {
  Launch launch;
  launch.launcher = Launcher::srun;
  launch.size = 4;
  launch.rank = 1;
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(end_after_error(launch, "trainer", "no data", exit_failed), exit_failed);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "trainer: rank 1: no data\n");
}

TEST(WithoutNccl, AGroupOfGpusIsRefused) {
  const std::string sentence =
      "this build has no NCCL, which several processes on GPUs need: install NCCL 2.28 or later "
      "beside CUDA and build again, or start one process";
  EXPECT_EQ(error_of([] { make_device_group_id(); }), sentence);
  EXPECT_EQ(error_of([] { make_device_group_id("localhost", 29500); }), sentence);
  EXPECT_EQ(error_of([] { make_device_group(make_backend("cpu"), 0, 2, {}); }), sentence);
}

}  // namespace
}  // namespace cardiograd
