// Runs of the program that are killed, stopped and disturbed, against one that was left alone.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/packed.h"
#include "kernels/philox.h"
#include "tests/support/run_events.h"
#include "tests/support/run_program.h"
#include "tests/support/synthetic_data.h"
#include "trainer/exit_codes.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ProgramOptions;
using testing::ProgramResult;
using testing::read_file;
using testing::run_program;
using testing::SyntheticData;
using testing::TempFolder;
using Arguments = std::vector<std::string>;

const SyntheticData& data() {
  static const SyntheticData made(80);
  return made;
}

// A run with everything that draws at random; 4 steps an epoch.
ProgramResult train(const fs::path& run, const Arguments& more, double seconds = 300.0,
                    const std::function<void(int)>& started = {}) {
  const TempFolder folder;
  const fs::path config = folder.write("config.toml",
                                       "[model]\nname = \"cnn\"\nbatch_norm = true\n"
                                       "dropout = 0.2\n"
                                       "[train]\nepochs = 3\nbatch_size = 16\n"
                                       "optimizer = \"adam\"\n"
                                       "[augment]\ncrop = 1.0\nnoise = 0.5\nmixup = 0.5\n"
                                       "[run]\nplots = false\n");
  Arguments arguments{"fit", config.string(), "data.path=" + data().packed().string(),
                      "run.dir=" + run.string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  ProgramOptions options;
  options.environment["OMP_NUM_THREADS"] = "1";
  options.timeout_seconds = seconds;
  options.started = started;
  return run_program("trainer", arguments, options);
}

// Everything that a run leaves, but times.
std::string result_of(const fs::path& run) {
  std::string text = read_file(run / "test.json") + read_file(run / "test_predictions.npy");
  for (const char* checkpoint : {"last", "best"}) {
    text += read_file(run / checkpoint / "model.safetensors");
    text += read_file(run / checkpoint / "optimizer.safetensors");
    json state = json::parse(read_file(run / checkpoint / "state.json"));
    state.erase("seconds");
    state.erase("log_bytes");
    text += state.dump();
  }
  for (const json& event : testing::repeatable_events(run)) text += event.dump() + "\n";
  return text;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool was_writing(const fs::path& run) {
  if (!fs::exists(run)) return false;
  const std::vector<std::string> names = names_in(run);
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return name.ends_with(".writing"); });
}

// Runs job(0) ... job(count - 1) on a few threads: a run waits for the disk most of the time.
void on_threads(int count, const std::function<void(int)>& job) {
  std::atomic<int> next{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = next++; i < count; i = next++) job(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

const Arguments each_step{"run.checkpoint_steps=1", "run.keep=2"};
const Arguments each_step_resumed{"run.checkpoint_steps=1", "run.keep=2", "--resume"};

// In (0, 1), the same in every run of this test.
double draw(int kill, std::uint32_t attempt) {
  const RandomKey key{20260, 1, 0};
  return Philox::uniform(key.draw(static_cast<std::uint32_t>(kill), attempt)[0]);
}

// Starts a run and kills it at a random moment before its end; how long it ran at most.
bool kill_at_random(const fs::path& run, int kill, double whole, const Arguments& arguments) {
  double moment = 0.02 + 0.96 * whole * draw(kill, 0);
  for (int attempt = 0; attempt < 10; ++attempt, moment *= 0.7) {
    if (train(run, arguments, moment).exit_code == 128 + SIGKILL) return true;
    fs::remove_all(run);
  }
  return false;
}

TEST(Resume, AfterEachOfFiftyKillsTheRunEndsWithTheSameBits) {
  constexpr int alike = 4, kills = 50;
  const TempFolder folder;
  data();
  const auto begun = std::chrono::steady_clock::now();
  on_threads(alike, [&](int i) {
    const ProgramResult result = train(folder / ("whole" + std::to_string(i)), each_step);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  });
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - begun;
  const std::string expected = result_of(folder / "whole0");
  ASSERT_FALSE(expected.empty());
  for (int i = 1; i < alike; ++i) {
    ASSERT_TRUE(result_of(folder / ("whole" + std::to_string(i))) == expected)
        << "two runs alike give the same bits";
  }
  const std::vector<std::string> names = names_in(folder / "whole0");
  std::atomic<int> writing{0}, before_any{0}, killed{0};
  on_threads(kills, [&](int i) {
    const fs::path run = folder / ("run" + std::to_string(i));
    killed += kill_at_random(run, i, whole.count(), each_step) ? 1 : 0;
    writing += was_writing(run) ? 1 : 0;
    before_any += fs::exists(run / "last") ? 0 : 1;
    const ProgramResult result = train(run, each_step_resumed);
    EXPECT_EQ(result.exit_code, 0) << i << ": " << result.err;
    EXPECT_TRUE(result_of(run) == expected) << i << ": " << result.err;
    EXPECT_EQ(names_in(run), names) << i;
    fs::remove_all(run);
  });
  EXPECT_EQ(killed, kills);
  EXPECT_GE(writing, 5) << "kills must hit checkpoints that are being written";
  EXPECT_LE(before_any, kills / 2) << "kills must leave something to resume from";
  std::printf("%d kills, %d of them inside a checkpoint's writing, %d before the first one\n",
              killed.load(), writing.load(), before_any.load());
}

// Sends a signal as soon as the run has done some steps; and again where that is wanted.
class AfterSteps {
 public:
  AfterSteps(fs::path run, int steps, int signal) : run_(std::move(run)), steps_(steps) {
    signal_ = signal;
  }
  ~AfterSteps() {
    if (thread_.joinable()) thread_.join();
  }
  void operator()(int process) {
    thread_ = std::thread([this, process] {
      for (int tries = 0; tries < 6000 && !reached(); ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      action_ ? action_() : static_cast<void>(kill(process, signal_));
    });
  }
  void instead(std::function<void()> action) { action_ = std::move(action); }

 private:
  bool reached() const {
    const std::string log = read_file(run_ / "metrics.jsonl");
    return std::count(log.begin(), log.end(), '\n') > steps_;
  }
  fs::path run_;
  int steps_;
  int signal_;
  std::function<void()> action_;
  std::thread thread_;
};

ProgramResult train_disturbed(const fs::path& run, AfterSteps& disturb, Arguments arguments) {
  return train(run, arguments, 300.0, [&](int process) { disturb(process); });
}

const Arguments longer{"train.epochs=30"};

TEST(Resume, AStoppedRunSavesSaysHowToGoOnAndGivesTheSameBits) {
  const TempFolder folder;
  EXPECT_EQ(train(folder / "whole", longer).exit_code, 0);
  for (const int signal : {SIGTERM, SIGINT}) {
    const fs::path run = folder / ("run" + std::to_string(signal));
    AfterSteps disturb(run, 6, signal);
    const ProgramResult stopped = train_disturbed(run, disturb, longer);
    ASSERT_EQ(stopped.exit_code, exit_interrupted) << stopped.err;
    const std::string name = signal == SIGTERM ? "SIGTERM" : "SIGINT";
    const std::size_t said =
        stopped.err.find("trainer: stopped by " + name + ": a checkpoint of step ");
    ASSERT_NE(said, std::string::npos) << stopped.err;
    EXPECT_TRUE(stopped.err.ends_with(" is in " + (run / "last").string() +
                                      "; go on with the same command and --resume (trainer fit "
                                      "... --resume)\n"))
        << stopped.err;
    const ProgramResult resumed = train(run, {"train.epochs=30", "--resume"});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    EXPECT_TRUE(result_of(run) == result_of(folder / "whole")) << name;
    EXPECT_EQ(names_in(run), names_in(folder / "whole"));

    const ProgramResult again = train(run, {"train.epochs=30", "--resume"});
    EXPECT_EQ(again.exit_code, 0);
    EXPECT_EQ(again.out, "The run in " + run.string() +
                             " is finished: all 30 epochs are trained and tested. A larger "
                             "train.epochs goes on with it.\n");
    const ProgramResult figures = train(run, {"train.epochs=30", "--resume", "--json"});
    EXPECT_EQ(json::parse(figures.out), json::parse(read_file(run / "test.json")));
  }
}

TEST(Resume, ASignalToSaveSavesAndChangesNothing) {
  const TempFolder folder;
  const fs::path run = folder / "run";
  EXPECT_EQ(train(folder / "whole", longer).exit_code, 0);
  AfterSteps disturb(run, 6, SIGUSR1);
  const ProgramResult result = train_disturbed(run, disturb, longer);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("\na checkpoint of step "), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(" is in " + (run / "last").string() + "\n"), std::string::npos);
  EXPECT_TRUE(result_of(run) == result_of(folder / "whole"));
}

TEST(Resume, AnotherConfigOrFolderIsRefused) {
  const TempFolder folder;
  const fs::path run = folder / "run";
  EXPECT_EQ(train(run, {"train.epochs=1"}).exit_code, 0);
  const ProgramResult changed = train(run, {"train.epochs=1", "train.seed=3", "--resume"});
  EXPECT_EQ(changed.exit_code, exit_failed);
  EXPECT_TRUE(changed.err.starts_with(
      "trainer: a resumed run cannot change train.seed, which was 0 and is now 3: set it back"))
      << changed.err;
  const ProgramResult again = train(run, {"train.epochs=1"});
  EXPECT_EQ(again.exit_code, exit_failed);
  EXPECT_EQ(again.err, "trainer: run.dir " + run.string() +
                           " exists already: choose another folder, or move the old run away, or "
                           "go on with it by --resume\n");
  folder.write("mine/thesis.txt", "x");
  const ProgramResult other = train(folder / "mine", {"--resume"});
  EXPECT_EQ(other.exit_code, exit_failed);
  EXPECT_EQ(other.err, "trainer: run.dir " + (folder / "mine").string() +
                           " holds something, but no run to resume: choose another folder\n");
  EXPECT_EQ(names_in(folder / "mine"), std::vector<std::string>{"thesis.txt"});
  const ProgramResult nowhere = train("/proc/run", {});
  EXPECT_EQ(nowhere.exit_code, exit_failed);
  EXPECT_EQ(nowhere.err, "trainer: run.dir /proc/run cannot be made: No such file or directory\n");
}

TEST(Resume, TwoProcessesDoNotWriteToOneRun) {
  const TempFolder folder;
  const fs::path run = folder / "run";
  ProgramResult second;
  AfterSteps disturb(run, 2, 0);
  disturb.instead([&] { second = train(run, {"train.epochs=30", "--resume"}); });
  EXPECT_EQ(train_disturbed(run, disturb, longer).exit_code, 0);
  EXPECT_EQ(second.exit_code, exit_failed);
  EXPECT_EQ(second.err, "trainer: run.dir " + run.string() +
                            " is being written by another process: wait for its end, or stop "
                            "it\n");
}

TEST(Resume, ADataFileThatIsCutOffWhileItIsReadIsNamed) {
  const TempFolder folder;
  const fs::path run = folder / "run";
  fs::copy(data().packed(), folder / "packed");
  AfterSteps disturb(run, 6, 0);
  disturb.instead([&] { fs::resize_file(folder / "packed", 100); });
  Arguments arguments = longer;
  arguments.push_back("data.path=" + (folder / "packed").string());
  const ProgramResult result = train_disturbed(run, disturb, arguments);
  EXPECT_EQ(result.exit_code, exit_failed);
  EXPECT_TRUE(result.err.ends_with(
      "trainer: " + (folder / "packed").string() +
      " was shortened while it was read, or its disk fails: make the file again and do not change "
      "it while a program uses it\n"))
      << result.err;
  fs::remove(folder / "packed");
  fs::copy(data().packed(), folder / "packed");
  arguments.push_back("--resume");
  EXPECT_EQ(train(run, arguments).exit_code, 0);
}

}  // namespace
}  // namespace cardiograd
