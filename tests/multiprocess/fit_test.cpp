// trainer fit and eval in two and four processes on this machine, against one process.
#include "trainer/fit.h"

#include <cmath>
#include <csignal>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/mpirun.h"
#include "tests/support/run_events.h"
#include "tests/support/synthetic_data.h"
#include "trainer/checkpoint.h"
#include "trainer/communicator.h"
#include "trainer/exit_codes.h"
#include "trainer/training_state.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::process_of_rank;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::read_file;
using testing::SyntheticData;
using testing::TempFolder;
using Arguments = std::vector<std::string>;
using Started = std::function<void(int)>;

const SyntheticData& data() {
  static const SyntheticData made(120);
  return made;
}

class Fit : public ::testing::Test {
 protected:
  // All that draws at random; batches that no number of ranks divides, the last one of an epoch
  // shorter, and each step of two of them.
  fs::path config() const {
    return folder_.write("config.toml",
                         "[model]\nname = \"cnn\"\ndropout = 0.2\n"
                         "[train]\nepochs = 7\nbatch_size = 19\naccumulate = 2\n"
                         "optimizer = \"adam\"\nlr = 1e-3\nema = 0.9\n"
                         "[augment]\ncrop = 1.0\nnoise = 0.5\nmixup = 0.5\n"
                         "[run]\nplots = false\n");
  }
  Arguments words(const fs::path& run, const Arguments& more) const {
    Arguments all{"fit", config().string(), "data.path=" + data().packed().string(),
                  "run.dir=" + run.string()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  ProgramResult train(int ranks, const std::string& name, const Arguments& more = {},
                      const Started& started = {}, const Arguments& options = {}) const {
    const Arguments all = words(folder_ / name, more);
    if (ranks > 1) return testing::mpirun(ranks, "trainer", all, options, started);
    ProgramOptions alone;
    alone.environment["OMP_NUM_THREADS"] = "1";
    alone.started = started;
    return testing::run_program("trainer", all, alone);
  }
  // Two ranks, of which the second has another value of a key.
  ProgramResult train_with_other(const std::string& override_of_second) const {
    const Arguments second = words(folder_ / "run", {override_of_second});
    Arguments all = words(folder_ / "run", {});
    all.push_back(":");  // mpirun's second application
    all.insert(all.end(), {"-np", "1", (fs::path(CARDIOGRAD_BUILD_DIR) / "trainer").string()});
    all.insert(all.end(), second.begin(), second.end());
    return testing::mpirun(1, "trainer", all);
  }
  std::vector<json> events(const std::string& name, const std::string& kind) const {
    return testing::events(folder_ / name, kind);
  }
  std::vector<double> losses(const std::string& name) const {
    std::vector<double> result;
    for (const json& event : events(name, "step")) result.push_back(event.at("loss"));
    return result;
  }
  void expect_close(const std::string& name, const std::string& other, double tolerance) const {
    const std::vector<double> mine = losses(name), theirs = losses(other);
    ASSERT_EQ(mine.size(), theirs.size());
    for (std::size_t i = 0; i < mine.size(); ++i) {
      EXPECT_NEAR(mine[i], theirs[i], tolerance * std::abs(theirs[i])) << "step " << i + 1;
    }
  }
  std::string weights(const std::string& name) const {
    return read_file(folder_ / name / "last/model.safetensors") +
           read_file(folder_ / name / "last/optimizer.safetensors");
  }

  const TempFolder folder_;
};

// Sends a signal to mpirun (rank -1) or to a rank, once the run has logged some steps.
class AfterSteps {
 public:
  AfterSteps(fs::path run, int rank, int signal)
      : run_(std::move(run)), rank_(rank), signal_(signal) {}
  ~AfterSteps() {
    if (thread_.joinable()) thread_.join();
  }
  void operator()(int process) {
    thread_ = std::thread([this, process] {
      for (int tries = 0; tries < 6000 && !reached(); ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      const int target = rank_ < 0 ? process : process_of_rank(process, rank_);
      if (target > 0) kill(target, signal_);
    });
  }

 private:
  bool reached() const {
    const std::string log = read_file(run_ / "metrics.jsonl");
    return std::count(log.begin(), log.end(), '\n') > 6;
  }
  fs::path run_;
  int rank_;
  int signal_;
  std::thread thread_;
};

std::size_t count_of(const std::string& text, const std::string& word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    ++count;
  }
  return count;
}

// Rank 0's clock asks, all save: at steps of no number, with nothing changed.
TEST_F(Fit, AClockMayAskForCheckpoints) {
  const Arguments shorter{"train.epochs=2"};
  ASSERT_EQ(train(2, "plain", shorter).exit_code, 0);
  ASSERT_EQ(train(2, "clocked", {"train.epochs=2", "run.checkpoint_minutes=1e-9", "run.keep=3"})
                .exit_code,
            0);
  EXPECT_EQ(losses("clocked"), losses("plain"));
  std::vector<std::int64_t> steps;
  for (const auto& entry : fs::directory_iterator(folder_ / "clocked")) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-")) steps.push_back(std::stoll(name.substr(5)));
  }
  const std::int64_t end = read_training_state(folder_ / "clocked/last").step;
  ASSERT_EQ(steps.size(), 2U);
  // Such a request is heard with the step's loss and followed before the next but one.
  for (const std::int64_t step : steps) EXPECT_GE(step, end - 4);
}

// Clipping needs the sum of all gradients everywhere; without it the ranks share out the update.
TEST_F(Fit, ASharedUpdateHasTheBitsOfAWholeOne) {
  const Arguments all{"train.clip_norm=1e30", "train.decay=weights", "train.weight_decay=0.1"};
  const Arguments shared{"train.decay=weights", "train.weight_decay=0.1"};
  for (const int ranks : {2, 4}) {
    const std::string each = "all" + std::to_string(ranks), part = "part" + std::to_string(ranks);
    ASSERT_EQ(train(ranks, each, all).exit_code, 0);
    ASSERT_EQ(train(ranks, part, shared).exit_code, 0);
    EXPECT_EQ(losses(part), losses(each));
    EXPECT_TRUE(weights(part) == weights(each));
    EXPECT_EQ(events(part, "epoch").back().at("valid_loss"),
              events(each, "epoch").back().at("valid_loss"));
    EXPECT_NE(read_file(folder_ / part / "last/optimizer.safetensors").find(".average"),
              std::string::npos);
  }
}

TEST_F(Fit, LossesAreThoseOfOneProcessWithClipping) {
  const Arguments clipped{"train.clip_norm=0.5"};
  ASSERT_EQ(train(1, "one", clipped).exit_code, 0);
  ASSERT_EQ(train(2, "np2", clipped).exit_code, 0);
  expect_close("np2", "one", 1e-5);
}

TEST_F(Fit, LossesAreThoseOfOneProcess) {
  ASSERT_EQ(train(1, "one").exit_code, 0);
  ASSERT_GE(losses("one").size(), 20U);
  for (const int ranks : {2, 4}) {
    const std::string name = "np" + std::to_string(ranks);
    const ProgramResult result = train(ranks, name);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(count_of(result.err, "epoch 7/7  train loss"), 1U) << result.err;
    EXPECT_EQ(count_of(result.out, "Test folds, best epoch"), 1U) << result.out;
    EXPECT_NE(result.err.find(std::to_string(ranks) + " processes, MPI (Open MPI "),
              std::string::npos)
        << result.err;
    expect_close(name, "one", 1e-5);
    EXPECT_EQ(events(name, "start").front().at("ranks"), ranks);
    EXPECT_EQ(json::parse(read_file(folder_ / name / "last/state.json")).at("ranks"), ranks);
  }
}

// 97 records: the last batch of an epoch has one, so that three ranks have none of it.
TEST_F(Fit, RanksWithoutAShareOfABatchTakePart) {
  const Arguments sizes{"train.batch_size=16", "train.accumulate=1", "train.epochs=2"};
  ASSERT_EQ(train(1, "one", sizes).exit_code, 0);
  ASSERT_EQ(events("one", "start").front().at("train_records").get<int>() % 16, 1);
  const ProgramResult result = train(4, "np4", sizes);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  expect_close("np4", "one", 1e-5);
}

// Without it each rank normalises by its own share, which is another function.
TEST_F(Fit, SynchronisedBatchNormIsThatOfOneProcess) {
  const Arguments apart{"model.batch_norm=true", "train.batch_size=16", "train.accumulate=1",
                        "train.epochs=3", "train.lr=1e-4"};
  Arguments together = apart;
  together.push_back("model.sync_batch_norm=true");
  ASSERT_EQ(train(1, "one", apart).exit_code, 0);
  for (const int ranks : {2, 4}) {
    const std::string name = "np" + std::to_string(ranks);
    const ProgramResult result = train(ranks, name, together);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    expect_close(name, "one", 1e-5);
  }
  ASSERT_EQ(train(2, "apart", apart).exit_code, 0);
  EXPECT_GT(std::abs(losses("apart").front() - losses("one").front()), 1e-4);
}

TEST_F(Fit, TwoRunsAlikeGiveTheSameBits) {
  ASSERT_EQ(train(2, "a").exit_code, 0);
  ASSERT_EQ(train(2, "b").exit_code, 0);
  EXPECT_FALSE(weights("a").empty());
  EXPECT_TRUE(weights("a") == weights("b"));
  EXPECT_EQ(losses("a"), losses("b"));
}

TEST_F(Fit, EvaluationHasTheFiguresOfOneProcess) {
  ASSERT_EQ(train(1, "one", {"train.epochs=1"}).exit_code, 0);
  // 10 records: several batches, the last one shorter, and not as many for each rank.
  const Arguments words{"eval", (folder_ / "one").string(), "train.batch_size=3", "--json"};
  ProgramOptions alone;
  alone.environment["OMP_NUM_THREADS"] = "1";
  const ProgramResult one = testing::run_program("trainer", words, alone);
  ASSERT_EQ(one.exit_code, 0) << one.err;
  for (const int ranks : {2, 4}) {
    const ProgramResult result = testing::mpirun(ranks, "trainer", words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, one.out);
  }
}

TEST_F(Fit, FourRanksAreResumedByTwo) {
  const fs::path run = folder_ / "run";
  AfterSteps stop(run, 3, SIGTERM);
  const ProgramResult stopped =
      train(4, "run", {"train.epochs=30"}, [&](int process) { stop(process); });
  EXPECT_EQ(stopped.exit_code, exit_interrupted) << stopped.err;
  EXPECT_EQ(count_of(stopped.err, "trainer: stopped by SIGTERM: a checkpoint of step "), 1U)
      << stopped.err;
  const ProgramResult resumed = train(2, "run", {"train.epochs=30", "--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(count_of(resumed.err, "; it ran in 4 processes and goes on in 2\n"), 1U) << resumed.err;
  ASSERT_EQ(train(1, "one", {"train.epochs=30"}).exit_code, 0);
  std::vector<double> mine = losses("run"), theirs = losses("one");
  ASSERT_EQ(mine.size(), theirs.size());  // no step is missing or there twice
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(mine[i], theirs[i], 1e-5 * theirs[i]) << i;
}

TEST_F(Fit, AStoppedRunGoesOnWithTheSameBits) {
  const Arguments longer{"train.epochs=40"};
  ASSERT_EQ(train(2, "whole", longer).exit_code, 0);
  AfterSteps stop(folder_ / "run", 1, SIGTERM);
  const ProgramResult stopped = train(2, "run", longer, [&](int process) { stop(process); });
  EXPECT_EQ(stopped.exit_code, exit_interrupted) << stopped.err;
  const ProgramResult resumed = train(2, "run", {"train.epochs=40", "--resume"});
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_TRUE(weights("run") == weights("whole"));
  EXPECT_EQ(losses("run"), losses("whole"));
}

// It passes SIGTERM on after odls_base_sigkill_timeout seconds, waits as long again, and ends with
// an exit code of its own.
TEST_F(Fit, ASignalToMpirunSavesToo) {
  AfterSteps stop(folder_ / "run", -1, SIGTERM);
  const ProgramResult stopped =
      train(2, "run", {"train.epochs=100000"}, [&](int process) { stop(process); },
            {"--mca", "odls_base_sigkill_timeout", "3"});
  EXPECT_NE(stopped.exit_code, 0) << stopped.err;
  // What the ranks say last is not always passed on by an mpirun that is ending; what they save is.
  const json state = json::parse(read_file(folder_ / "run/last/state.json"));
  EXPECT_EQ(state.at("step"), losses("run").size()) << "no step is lost";
}

TEST_F(Fit, ARankThatHangsIsNamedInTime) {
  const Arguments endless{"train.epochs=100000", "run.timeout_seconds=3"};
  for (const int lost : {0, 1}) {
    const std::string name = "run" + std::to_string(lost);
    AfterSteps hang(folder_ / name, lost, SIGSTOP);
    const ProgramResult result = train(2, name, endless, [&](int process) { hang(process); });
    EXPECT_EQ(result.exit_code, exit_lost_rank) << result.err;
    EXPECT_EQ(count_of(result.err, "trainer: rank " + std::to_string(1 - lost) + ": rank " +
                                       std::to_string(lost) + " did not arrive at "),
              1U)
        << result.err;
    EXPECT_NE(result.err.find(" within 3 seconds: it died or hung"), std::string::npos)
        << result.err;
  }
}

TEST_F(Fit, ARankThatIsKilledIsNamedInTime) {
  // With recovery on, mpirun leaves the others alone: they find out themselves.
  AfterSteps murder(folder_ / "run", 3, SIGKILL);
  const ProgramResult result = train(4, "run", {"train.epochs=100000", "run.timeout_seconds=3"},
                                     [&](int process) { murder(process); }, {"--enable-recovery"});
  EXPECT_GE(count_of(result.err, ": rank 3 did not arrive at "), 1U) << result.err;
}

TEST_F(Fit, RanksWithDifferentConfigsAreRefused) {
  const ProgramResult result = train_with_other("train.lr=0.5");
  EXPECT_EQ(result.exit_code, exit_failed) << result.err;
  EXPECT_EQ(count_of(result.err,
                     "trainer: rank 0: rank 1 has another configuration than rank 0: train.lr = "
                     "0.5, but rank 0 has train.lr = 0.001; start all ranks with the same "
                     "configuration\n"),
            1U)
      << result.err;
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

TEST_F(Fit, RanksWithDifferentDataSetsAreRefused) {
  const SyntheticData fewer(60);
  const auto known = [](const SyntheticData& set) {
    return data_fingerprint(PackedDataset(set.packed()));
  };
  const ProgramResult result = train_with_other("data.path=" + fewer.packed().string());
  EXPECT_EQ(result.exit_code, exit_failed) << result.err;
  EXPECT_EQ(count_of(result.err, "trainer: rank 0: rank 1 has another data set than rank 0: " +
                                     known(fewer) + ", but rank 0 has " + known(data()) +
                                     "; start all ranks with the same data set\n"),
            1U)
      << result.err;
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

}  // namespace
}  // namespace cardiograd
