#include "trainer/resume.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/file_size_limit.h"
#include "tests/support/run_events.h"
#include "tests/support/synthetic_data.h"
#include "trainer/config_fields.h"
#include "trainer/fit.h"
#include "trainer/run_checkpoints.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::error_of;
using testing::FileSizeLimit;
using testing::read_file;
using testing::SyntheticData;
using testing::TempFolder;

const SyntheticData& data() {
  static const SyntheticData made(120);
  return made;
}

// Three batches an epoch, and everything that draws at random.
RunConfig config_for(const fs::path& dir) {
  RunConfig config;
  config.data.path = data().packed().string();
  config.data.standardize = "lead";
  config.model.dropout = 0.2;
  config.model.batch_norm = true;
  config.train.epochs = 2;
  config.train.batch_size = 40;
  config.train.optimizer = "adam";
  config.train.pos_weight = "balanced";
  config.train.ema = 0.9;
  config.train.weight_decay = 0.01;
  config.train.decay = "weights";
  config.schedule.name = "step";
  config.schedule.step_epochs = 1;
  config.schedule.factor = 0.5;
  config.schedule.warmup_epochs = 0.5;
  config.loss.name = "focal";
  config.augment.crop = 1.0;
  config.augment.noise = 0.5;
  config.augment.mixup = 0.5;
  config.run.dir = dir.string();
  config.run.plots = false;
  return config;
}

std::string log_without_speed(const fs::path& run) {
  std::string text;
  for (const json& event : testing::repeatable_events(run)) text += event.dump() + "\n";
  return text;
}

// Everything that a run leaves, but times.
std::string result_of(const fs::path& run) {
  std::string text = log_without_speed(run) + read_file(run / "test.json");
  for (const char* checkpoint : {"last", "best"}) {
    text += read_file(run / checkpoint / "model.safetensors");
    text += read_file(run / checkpoint / "optimizer.safetensors");
    json state = json::parse(read_file(run / checkpoint / "state.json"));
    EXPECT_EQ(state.erase("seconds") + state.erase("log_bytes"), 2U);
    text += state.dump();
  }
  return text;
}

// The run that was never stopped, with a checkpoint of each of its steps.
const fs::path& undisturbed() {
  static const TempFolder folder;
  static const fs::path run = [] {
    RunConfig config = config_for(folder / "run");
    config.run.checkpoint_steps = 1;
    config.run.keep = 100;
    fit(config, true);
    return folder / "run";
  }();
  return run;
}

// A run folder as it is left behind by a run that is killed some time after this checkpoint.
void leave_killed(const fs::path& run, const std::string& checkpoint) {
  fs::create_directories(run);
  fs::copy(undisturbed() / checkpoint, run / "last");
  for (const char* name : {"config.toml", "metrics.jsonl"}) {
    fs::copy(undisturbed() / name, run / name);
  }
  const json state = json::parse(read_file(run / "last/state.json"));
  if (state.at("epoch") >= 1) fs::copy(undisturbed() / "best", run / "best");
}

RunConfig resumable(const fs::path& run) {
  RunConfig config = config_for(run);
  config.run.checkpoint_steps = 1;
  config.run.keep = 100;
  return config;
}

std::string resume_error(const RunConfig& config) {
  return error_of([&] { fit(config, true, Start::resume); });
}

std::string said_while_resuming(const RunConfig& config) {
  ::testing::internal::CaptureStderr();
  fit(config, false, Start::resume);
  return ::testing::internal::GetCapturedStderr();
}

TEST(Resume, GoesOnFromEachStepWithTheSameBits) {
  const std::string expected = result_of(undisturbed());
  for (const char* step : {"step-00000001", "step-00000002", "step-00000003", "step-00000005"}) {
    const TempFolder folder;
    ASSERT_TRUE(fs::exists(undisturbed() / step));
    leave_killed(folder / "run", step);
    fit(resumable(folder / "run"), true, Start::resume);
    EXPECT_TRUE(result_of(folder / "run") == expected) << step;
  }
}

TEST(Resume, CheckpointsChangeNothing) {
  const TempFolder folder;
  fit(config_for(folder / "run"), true);
  EXPECT_TRUE(result_of(folder / "run") == result_of(undisturbed()));
  EXPECT_FALSE(fs::exists(folder / "run/step-00000001"));
}

TEST(Resume, CheckpointsOfSomeEpochsEndWithTheSameBits) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.run.checkpoint_epochs = 2;
  config.run.keep = 100;
  fit(config, true);
  EXPECT_TRUE(result_of(folder / "run") == result_of(undisturbed()));
  leave_killed(folder / "killed", "step-00000003");
  config.run.dir = (folder / "killed").string();
  config.run.checkpoint_epochs = 1000;
  fit(config, true, Start::resume);
  EXPECT_TRUE(result_of(folder / "killed") == result_of(undisturbed()));
  std::size_t checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(folder / "killed")) {
    checkpoints += fs::exists(entry.path() / "state.json") ? 1 : 0;
  }
  EXPECT_EQ(checkpoints, 3U) << "best, last and the one that it began with";
}

TEST(Resume, WithoutACheckpointTheRunBeginsAnew) {
  const TempFolder folder;
  folder.write("run/metrics.jsonl", "{\"event\":\"start\"}\n{\"eve");
  folder.write("run/config.toml.tmp-12-1", "[da");
  folder.write("run/last.writing/model.safetensors", "x");
  const std::string said = said_while_resuming(config_for(folder / "run"));
  EXPECT_NE(
      said.find("no checkpoint in " + (folder / "run").string() + " yet: the run begins anew\n"),
      std::string::npos)
      << said;
  EXPECT_TRUE(result_of(folder / "run") == result_of(undisturbed()));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "run"), {}), 9) << "nothing half written";
  fit(config_for(folder / "none"), true, Start::resume);
  EXPECT_TRUE(result_of(folder / "none") == result_of(undisturbed()));
}

TEST(Resume, AFinishedRunIsLeftAlone) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  fit(config, true);
  const std::string before = result_of(folder / "run");
  fs::rename(data().packed(), folder / "hidden");  // nor are the data needed
  EXPECT_TRUE(fit(config, true, Start::resume).was_finished);
  fs::rename(folder / "hidden", data().packed());
  EXPECT_EQ(result_of(folder / "run"), before);

  config.train.epochs = 1;
  EXPECT_EQ(resume_error(config),
            "the run in " + config.run.dir + " is in epoch 2 already, more than train.epochs = 1");
}

TEST(Resume, MoreEpochsGoOnWithAFinishedRun) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "longer");
  config.train.epochs = 3;
  fit(config, true);
  leave_killed(folder / "run", "last");
  config = resumable(folder / "run");
  config.train.epochs = 3;
  const std::string said = said_while_resuming(config);
  EXPECT_TRUE(said.starts_with("train.epochs changes from 2 to 3\nresumed from " +
                               (folder / "run/last").string() + ": step 6, after epoch 2\n"))
      << said;
  EXPECT_TRUE(result_of(folder / "run") == result_of(folder / "longer"));
}

TEST(Resume, AnotherConfigIsRefused) {
  const TempFolder folder;
  leave_killed(folder / "run", "step-00000001");
  RunConfig config = resumable(folder / "run");
  config.train.lr = 0.1;
  const std::string sentence =
      ": set it back, or start a new run in another run.dir; only device, threads, replay, "
      "data.path, data.residency, train.epochs, train.on_nan, train.early_stopping, run.plots, "
      "run.tensorboard, run.log_every, run.checkpoint_epochs, run.checkpoint_steps, "
      "run.checkpoint_minutes, run.keep, "
      "run.timeout_seconds may change";
  EXPECT_EQ(resume_error(config),
            "a resumed run cannot change train.lr, which was 1e-04 and is now 0.1" + sentence);
  config = resumable(folder / "run");
  config.data.train_folds = {1, 2};
  EXPECT_EQ(resume_error(config),
            "a resumed run cannot change data.train_folds, which was [ 1, 2, 3, 4, 5, 6, 7, 8 ] "
            "and is now [ 1, 2 ]" +
                sentence);
}

TEST(Resume, TheKeysThatMayChangeExist) {
  for (const std::string& key : changeable_keys()) {
    EXPECT_TRUE(std::any_of(config_fields().begin(), config_fields().end(),
                            [&](const ConfigField& field) { return field.key == key; }))
        << key;
  }
}

TEST(Resume, TheDataMayMoveButNotChange) {
  const TempFolder folder;
  leave_killed(folder / "run", "step-00000004");
  RunConfig config = resumable(folder / "run");
  const SyntheticData others(119);
  config.data.path = others.packed().string();
  const std::string error = resume_error(config);
  EXPECT_TRUE(error.starts_with(config.data.path + " (119 records of 1000 samples, ")) << error;
  EXPECT_NE(error.find(" is not what the run in " + config.run.dir +
                       " was trained on (120 records of 1000 samples, "),
            std::string::npos)
      << error;
  fs::copy(data().packed(), folder / "moved");
  config.data.path = (folder / "moved").string();
  fit(config, true, Start::resume);
  EXPECT_EQ(log_without_speed(folder / "run"), log_without_speed(undisturbed()));
}

TEST(Resume, AFullDiskKeepsTheFormerCheckpoint) {
  const TempFolder folder;
  leave_killed(folder / "run", "step-00000004");
  const RunConfig config = resumable(folder / "run");
  {
    const FileSizeLimit limit(200'000);
    EXPECT_EQ(resume_error(config), "cannot write " +
                                        (folder / "run/last.writing/model.safetensors").string() +
                                        ": File too large");
  }
  EXPECT_EQ(json::parse(read_file(folder / "run/last/state.json")).at("step"), 4);
  fit(config, true, Start::resume);
  EXPECT_TRUE(result_of(folder / "run") == result_of(undisturbed()));
}

TEST(Resume, ACheckpointThatIsNotWholeIsSaid) {
  const TempFolder folder;
  leave_killed(folder / "run", "step-00000001");
  fs::remove(folder / "run/last/optimizer.safetensors");
  EXPECT_EQ(resume_error(resumable(folder / "run")),
            (folder / "run/last/optimizer.safetensors").string() +
                " is missing, so that the checkpoint is not whole: bring it back, or remove " +
                (folder / "run/last").string() +
                " to go on from an older checkpoint or from the beginning");
}

TEST(Resume, ALogOfAnotherRunIsSaid) {
  const TempFolder folder;
  leave_killed(folder / "run", "step-00000001");
  folder.write("run/metrics.jsonl", "{\"event\":\"start\"}\n");
  const std::string error = resume_error(resumable(folder / "run"));
  EXPECT_TRUE(error.starts_with((folder / "run/metrics.jsonl").string() +
                                " is not the one that the checkpoint belongs to: "))
      << error;
}

}  // namespace
}  // namespace cardiograd
