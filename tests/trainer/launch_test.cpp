#include "trainer/launch.h"

#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using Variables = std::map<std::string, std::string>;

std::string error_with(const Variables& environment) {
  return error_of([&] { detect_launch(environment); });
}

Variables with(Variables environment, const Variables& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

const Variables mpirun{{"OMPI_COMM_WORLD_SIZE", "8"},
                       {"OMPI_COMM_WORLD_RANK", "5"},
                       {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                       {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};
const Variables srun{{"SLURM_NTASKS", "9"},
                     {"SLURM_STEP_NUM_TASKS", "7"},
                     {"SLURM_PROCID", "6"},
                     {"SLURM_LOCALID", "0"},
                     {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"},
                     {"SLURM_NODEID", "3"}};
const Variables torchrun{{"WORLD_SIZE", "4"},        {"RANK", "3"},
                         {"LOCAL_RANK", "1"},        {"LOCAL_WORLD_SIZE", "2"},
                         {"MASTER_ADDR", "node-17"}, {"MASTER_PORT", "29500"}};

TEST(Launch, IsAloneWithoutALauncher) {
  const Launch launch = detect_launch(Variables{{"PATH", "/bin"}, {"MASTER_PORT", "x"}});
  EXPECT_EQ(launch.launcher, Launcher::none);
  EXPECT_TRUE(launch.alone());
  EXPECT_TRUE(launch.is_first());
  EXPECT_EQ(launch.local_size, 1);
}

TEST(Launch, ByMpirun) {
  const Launch launch = detect_launch(mpirun);
  EXPECT_EQ(launch.launcher, Launcher::mpirun);
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_size, 4);
  EXPECT_FALSE(launch.is_first());
}

TEST(Launch, BySrunTakesTheStepsTasksNotTheJobs) {
  const Launch launch = detect_launch(srun);
  EXPECT_EQ(launch.launcher, Launcher::srun);
  EXPECT_EQ(launch.size, 7);
  EXPECT_EQ(launch.rank, 6);
  EXPECT_EQ(launch.local_rank, 0);
  EXPECT_EQ(launch.local_size, 1);
  EXPECT_EQ(detect_launch(with(srun, {{"SLURM_NODEID", "2"}})).local_size, 2);
}

TEST(Launch, IsAloneInABatchScript) {
  EXPECT_TRUE(detect_launch({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}}).alone());
}

TEST(Launch, ByTorchrun) {
  const Launch launch = detect_launch(torchrun);
  EXPECT_EQ(launch.launcher, Launcher::environment);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_size, 2);
  EXPECT_EQ(launch.master_address, "node-17");
  EXPECT_EQ(launch.master_port, 29500);
  // The port that torchrun's own agent listens on is taken.
  const Variables agent = with(torchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}});
  EXPECT_EQ(detect_launch(agent).master_port, 29501);
}

TEST(Launch, WithoutLocalSizeAllRanksShareTheMachine) {
  EXPECT_EQ(detect_launch({{"WORLD_SIZE", "4"}, {"RANK", "0"}, {"LOCAL_RANK", "0"}}).local_size, 4);
}

TEST(Launch, OneOfOneIsAlone) {
  EXPECT_TRUE(detect_launch({{"WORLD_SIZE", "1"}, {"RANK", "0"}}).alone());
}

TEST(Launch, MpirunInsideASlurmJobCounts) {
  const Launch launch = detect_launch(with(srun, mpirun));
  EXPECT_EQ(launch.launcher, Launcher::mpirun);
  EXPECT_EQ(launch.rank, 5);
}

TEST(Launch, RefusesMalformedValuesByName) {
  EXPECT_EQ(error_with(with(mpirun, {{"OMPI_COMM_WORLD_SIZE", "many"}})),
            "environment variable OMPI_COMM_WORLD_SIZE is \"many\", but a whole number from 1 to "
            "1048576 is needed: set it right, or unset it");
  EXPECT_EQ(error_with(with(torchrun, {{"RANK", "4"}})),
            "environment variable RANK is \"4\", but a whole number from 0 to 3 is needed: set it "
            "right, or unset it");
  EXPECT_EQ(error_with(with(torchrun, {{"MASTER_PORT", "70000"}})),
            "environment variable MASTER_PORT is \"70000\", but a whole number from 1 to 65534 is "
            "needed: set it right, or unset it");
  for (const char* wrong : {"2(x3", "0", "2(x),1", "a", "2(x2)"}) {
    const std::string error = error_with(with(srun, {{"SLURM_STEP_TASKS_PER_NODE", wrong}}));
    EXPECT_EQ(error.rfind("environment variable SLURM_STEP_TASKS_PER_NODE is \"", 0), 0U) << wrong;
  }
}

TEST(Launch, RefusesContradictionsByName) {
  EXPECT_EQ(error_with({{"RANK", "1"}}),
            "environment variable WORLD_SIZE is not set, but RANK is: set both, or unset both");
  EXPECT_EQ(error_with({{"WORLD_SIZE", "2"}}),
            "environment variable RANK is not set, but WORLD_SIZE is: set both, or unset both");
  EXPECT_EQ(error_with({{"WORLD_SIZE", "2"}, {"RANK", "0"}}),
            "environment variable LOCAL_RANK is not set, but WORLD_SIZE is: set both, or unset "
            "both");
  EXPECT_EQ(error_with(with(torchrun, {{"LOCAL_RANK", "3"}})),
            "environment variable LOCAL_RANK is 3, but LOCAL_WORLD_SIZE says 2 ranks on this "
            "machine");
  EXPECT_EQ(error_with(with(mpirun, {{"WORLD_SIZE", "2"}})),
            "environment variable WORLD_SIZE is 2, but mpirun says 8: unset WORLD_SIZE");
  EXPECT_EQ(error_with(with(mpirun, {{"RANK", "0"}})),
            "environment variable RANK is 0, but mpirun says 5: unset RANK");
}

TEST(FairThreads, ShareTheCpusOfAMachine) {
  const CpuSet whole{"a", {0, 1, 2, 3, 4, 5, 6, 7}};
  EXPECT_EQ(fair_thread_count({whole}, 0), 8);
  EXPECT_EQ(fair_thread_count({whole, whole}, 1), 4);
  EXPECT_EQ(fair_thread_count({whole, whole, whole}, 0), 2);
  const std::vector<CpuSet> crowd(9, whole);
  EXPECT_EQ(fair_thread_count(crowd, 3), 1);
  const CpuSet three{"a", {0, 1, 2}};
  EXPECT_EQ(fair_thread_count({three, three, three}, 1), 1);  // thrice a third is one
}

TEST(FairThreads, KeepCpusThatTheLauncherBoundAndThoseOfOtherMachines) {
  const CpuSet low{"a", {0, 1}};
  const CpuSet high{"a", {2, 3}};
  const CpuSet other{"b", {0, 1, 2, 3}};
  EXPECT_EQ(fair_thread_count({low, high, other}, 0), 2);
  EXPECT_EQ(fair_thread_count({low, high, other}, 2), 4);
  EXPECT_EQ(fair_thread_count({{"a", {}}}, 0), 1);
  EXPECT_GE(fair_thread_count({cpus_of_this_process()}, 0), 1);
}

}  // namespace
}  // namespace cardiograd
