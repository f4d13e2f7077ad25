// Runs of two and four processes on this machine, by mpirun.
#include "trainer/communicator.h"

#include <chrono>
#include <gtest/gtest.h>
#include <string>

#include "tests/support/mpirun.h"
#include "trainer/exit_codes.h"

namespace cardiograd {
namespace {

using testing::mpirun;
using testing::ProgramOptions;
using testing::ProgramResult;

constexpr double timeout_seconds = 3.0;

std::size_t count_of(const std::string& text, const std::string& word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    ++count;
  }
  return count;
}

class Ranks : public ::testing::TestWithParam<int> {
 protected:
  ProgramResult run(const std::string& scenario, double timeout = 60.0,
                    const std::vector<std::string>& options = {}) {
    const auto begun = std::chrono::steady_clock::now();
    const ProgramResult result =
        mpirun(GetParam(), "rank_program", {scenario, std::to_string(timeout)}, options);
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return result;
  }
  void expect_success(const std::string& scenario) {
    const ProgramResult result = run(scenario);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out.rfind("done by " + std::to_string(GetParam()) + " of MPI (Open MPI ", 0),
              0U)
        << result.out;
  }
  // The others end in time, and say once who did not come and where.
  void expect_lost(const std::string& scenario, int lost, const std::string& what) {
    const ProgramResult result = run(scenario, timeout_seconds);
    EXPECT_EQ(result.exit_code, exit_lost_rank) << result.err;
    EXPECT_EQ(count_of(result.err, ": " + lost_rank_sentence({lost}, what, timeout_seconds)), 1U)
        << result.err;
    EXPECT_EQ(count_of(result.err, "rank_program: rank "), 1U) << result.err;
    EXPECT_LT(seconds_, timeout_seconds + 8.0);  // mpirun's beginning and end included
  }
  int last() const { return GetParam() - 1; }
  double seconds_ = 0.0;
};

TEST_P(Ranks, SumInRankOrderWithTheSameBitsEverywhere) { expect_success("sums"); }
TEST_P(Ranks, SumSeveralBucketsAtOnce) { expect_success("buckets"); }
TEST_P(Ranks, SumInMemoryThatTheyShare) { expect_success("shared_sums"); }
TEST_P(Ranks, ReachIntoMemoryThatTheyShare) { expect_success("places"); }
TEST_P(Ranks, GatherAndBroadcastAnyLength) { expect_success("gathers"); }
TEST_P(Ranks, AgreeOnFlagsAndWaitForEachOther) { expect_success("flags"); }

TEST_P(Ranks, NameTheOneThatHangs) { expect_lost("hung", last(), "bucket 0 of step 3"); }
TEST_P(Ranks, NameTheFirstWhereItHangs) {
  expect_lost("hung_first", 0, "the broadcast of the model");
}
TEST_P(Ranks, NameTheOneThatHangsInsideAnOperation) {
  expect_lost("hung_between", last(), "bucket 0");
  expect_lost("shared_hung_between", last(), "bucket 0");
}
TEST_P(Ranks, NameTheOneThatHangsBeforeASharedSum) {
  expect_lost("shared_hung", last(), "bucket 0 of step 3");
}

// With recovery on, mpirun leaves the others alone, whatever they ask for: each finds out itself.
TEST_P(Ranks, NameTheOneThatWasKilled) {
  for (const char* scenario : {"killed", "shared_killed"}) {
    const ProgramResult result = run(scenario, timeout_seconds, {"--enable-recovery"});
    const std::size_t sentences = count_of(
        result.err, ": " + lost_rank_sentence({last()}, "bucket 0 of step 3", timeout_seconds));
    EXPECT_GE(sentences, 1U) << result.err;
    EXPECT_EQ(count_of(result.err, "rank_program: rank "), sentences) << result.err;
    EXPECT_LT(seconds_, timeout_seconds + 8.0);
  }
}

// As it comes, mpirun itself names the rank and ends the others at once.
TEST_P(Ranks, EndWithTheOneThatWasKilled) {
  const ProgramResult result = run("killed", 60.0);
  EXPECT_EQ(result.exit_code, 137) << result.err;
  EXPECT_NE(result.err.find("process rank " + std::to_string(last())), std::string::npos)
      << result.err;
  EXPECT_LT(seconds_, 20.0);
}

TEST_P(Ranks, SayWhereTheyAreOutOfStep) {
  const ProgramResult result = run("out_of_step", timeout_seconds);
  EXPECT_EQ(result.exit_code, exit_lost_rank) << result.err;
  EXPECT_EQ(count_of(result.err, "out of step"), 1U) << result.err;
}

TEST_P(Ranks, RefuseToAddUpDifferentPartsOfSharedMemory) {
  const ProgramResult result = run("shared_out_of_step");
  EXPECT_EQ(result.exit_code, exit_lost_rank) << result.err;
  EXPECT_EQ(count_of(result.err,
                     "rank_program: rank 0: rank 1 is out of step at the second: it adds up 400 "
                     "bytes from byte 64 on, where rank 0 has 400 bytes from byte 0 on\n"),
            1U)
      << result.err;
}

TEST_P(Ranks, PrintAnErrorOnceWithItsRank) {
  const ProgramResult one = run("failing");
  EXPECT_EQ(one.exit_code, exit_failed) << one.err;
  EXPECT_EQ(count_of(one.err, "rank_program: rank 1: record 17 cannot be read\n"), 1U) << one.err;
  EXPECT_EQ(count_of(one.err, "rank_program: rank "), 1U) << one.err;
  const ProgramResult all = run("all_failing");
  EXPECT_EQ(all.exit_code, exit_failed) << all.err;
  EXPECT_EQ(count_of(all.err, "rank_program: rank 0: folder data/ does not exist\n"), 1U)
      << all.err;
  EXPECT_EQ(count_of(all.err, "rank_program: rank "), 1U) << all.err;
}

INSTANTIATE_TEST_SUITE_P(Mpi, Ranks, ::testing::Values(2, 4),
                         [](const auto& each) { return "np" + std::to_string(each.param); });

TEST(Launched, SeveralProcessesOnTheCpuWithoutMpirunAreRefused) {
  ProgramOptions options;
  options.environment = {{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}};
  const ProgramResult result = testing::run_program("rank_program", {"sums", "5"}, options);
  EXPECT_EQ(result.exit_code, exit_failed);
  EXPECT_EQ(result.err,
            "rank_program: rank 0: WORLD_SIZE is 2, but processes on the CPU speak MPI to each "
            "other: start them with mpirun -np 2, or unset RANK and WORLD_SIZE\n");
}

const std::map<std::string, std::string> of_srun{
    {"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}, {"SLURM_LOCALID", "1"}};

TEST(Launched, SrunWithoutPmiIsRefused) {
  ProgramOptions options;
  options.environment = of_srun;
  const ProgramResult result = testing::run_program("rank_program", {"sums", "5"}, options);
  EXPECT_EQ(result.exit_code, exit_failed);
  EXPECT_EQ(result.err,
            "rank_program: rank 1: srun started these processes without PMI, by which MPI's ranks "
            "find each other: start with the mpirun of the same MPI, or with srun --mpi=pmix (srun "
            "--mpi=list shows what there is)\n");
}

TEST(Launched, RanksThatMpiDoesNotSeeAreRefused) {
  ProgramOptions options;
  options.environment = of_srun;
  options.environment.insert({{"PALS_RANKID", "1"},
                              {"OMPI_MCA_btl", "self,vader"},
                              {"OMPI_MCA_plm_rsh_agent", "true"},
                              {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                              {"TMPDIR", "/tmp"},
                              {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}});
  const ProgramResult result = testing::run_program("rank_program", {"sums", "5"}, options);
  EXPECT_EQ(result.exit_code, exit_failed);
  EXPECT_NE(result.err.find("srun says that this is rank 1 of 2, but MPI sees rank 0 of 1: start "
                            "with the mpirun of the same MPI, or with srun --mpi=pmix"),
            std::string::npos)
      << result.err;
}

}  // namespace
}  // namespace cardiograd
