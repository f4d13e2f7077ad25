// The verbs and options around a run, as users call them.
#include <csignal>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <thread>

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

// In the folder, with its config.
ProgramResult trainer(const TempFolder& folder, const std::string& verb, const Arguments& more,
                      const std::function<void(int)>& started = {}) {
  folder.write("config.toml",
               "[data]\npath = '" + data().packed().string() +
                   "'\n[train]\nepochs = 2\nbatch_size = 16\n[run]\nplots = false\n");
  Arguments arguments{verb, "config.toml"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  ProgramOptions options;
  options.directory = folder.path();
  options.environment["OMP_NUM_THREADS"] = "1";
  options.started = started;
  return run_program("trainer", arguments, options);
}

std::size_t entries_in(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator{}));
}

TEST(FindLr, PrintsALineForTheConfigAndLeavesAPictureAlone) {
  const TempFolder folder;
  const ProgramResult result = trainer(folder, "find-lr", {"--steps", "40"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const bool drawn = fs::exists(folder / "lr.png");
  EXPECT_NE(drawn, result.err.find("no picture: ") != std::string::npos) << result.err;
  EXPECT_EQ(entries_in(folder.path()), drawn ? 2U : 1U) << "beside the config";
  const std::size_t line = result.out.find("\n  train.lr=");
  ASSERT_NE(line, std::string::npos) << result.out;
  const std::string setting = result.out.substr(line + 3, result.out.size() - line - 4);
  const ProgramResult run =
      trainer(folder, "fit", {setting, "run.dir=run", "train.epochs=1", "--quiet"});
  EXPECT_EQ(run.exit_code, 0) << run.err;

  const ProgramResult figures = trainer(folder, "find-lr", {"--steps", "40", "--json", "--quiet"});
  const json found = json::parse(figures.out);
  EXPECT_EQ(found.at("lr").size(), found.at("steps"));
  EXPECT_LE(found.at("train.lr"), found.at("lowest_tenth"));
  EXPECT_EQ(figures.err.find("learning-rate test"), std::string::npos);
}

TEST(FindLr, WhatIsWrongIsSaidBeforeAnythingIsTrained) {
  const TempFolder folder;
  const auto error = [&](const Arguments& more) { return trainer(folder, "find-lr", more).err; };
  EXPECT_EQ(error({"--out", "lr.jpg"}),
            "trainer: lr.jpg: a picture's name must end with .png or .svg\n");
  EXPECT_EQ(error({"--from", "1", "--to", "0.1"}),
            "trainer: --to must be a learning rate above --from 1, not 0.1\n");
  EXPECT_EQ(error({"model.name=dcgan"}),
            "trainer: model \"dcgan\" has no loss whose fall could be followed: set train.lr by "
            "hand\n");
}

TEST(ProfileOption, SaysWhereTheTimeWentAndLeavesTheRunAsItIs) {
  const TempFolder folder;
  const ProgramResult plain = trainer(folder, "fit", {"run.dir=plain", "--quiet"});
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  const ProgramResult timed = trainer(folder, "fit", {"run.dir=timed", "--quiet", "--profile"});
  ASSERT_EQ(timed.exit_code, 0) << timed.err;
  EXPECT_EQ(timed.err, "");
  EXPECT_EQ(read_file(folder / "timed/last/model.safetensors"),
            read_file(folder / "plain/last/model.safetensors"));
  for (const char* words :
       {"Run folder: timed\n\nWhere the time of a training step goes, the mean of ",
        "\nconv1  conv1d_relu_maxpool_backward ", " backward ", "between operations",
        "\nTiming each operation made the steps longer. Batches, which are made beside the steps, "
        "are not in them.\n"}) {
    EXPECT_NE(timed.out.find(words), std::string::npos) << words << " in\n" << timed.out;
  }
  EXPECT_EQ(timed.out.find("gather_records"), std::string::npos) << timed.out;

  const ProgramResult object =
      trainer(folder, "fit", {"run.dir=json", "--quiet", "--profile", "--json"});
  const json report = json::parse(object.out);
  EXPECT_TRUE(report.contains("macro_auroc"));
  EXPECT_GT(report.at("profile").at("steps"), 0);
  EXPECT_GT(report.at("profile").at("operations").size(), 10U);
  EXPECT_GE(report.at("profile").at("between_microseconds"), 0.0);
}

TEST(MemoryOption, SaysWhatAStepHoldsAndLeavesTheRunAsItIs) {
  const TempFolder folder;
  const ProgramResult plain = trainer(folder, "fit", {"run.dir=plain", "--quiet"});
  const ProgramResult traced = trainer(folder, "fit", {"run.dir=traced", "--quiet", "--memory"});
  ASSERT_EQ(traced.exit_code, 0) << traced.err;
  EXPECT_EQ(read_file(folder / "traced/last/model.safetensors"),
            read_file(folder / "plain/last/model.safetensors"));
  for (const char* words : {"What a training step holds in memory when that is most, by layer and "
                            "pass:\nowner ",
                            "\nparameters ", "\ngradients ", "\nconv1 ", "\ntogether "}) {
    EXPECT_NE(traced.out.find(words), std::string::npos) << words << " in\n" << traced.out;
  }
  const ProgramResult object =
      trainer(folder, "fit", {"run.dir=json", "--quiet", "--memory", "--json"});
  EXPECT_GT(json::parse(object.out).at("memory").at("step_peak_bytes"), 0);
}

TEST(ProfileOption, IsForOneRunOfAClassifier) {
  const TempFolder folder;
  const ProgramResult seeds = trainer(folder, "fit", {"run.dir=runs", "--seeds", "0", "--profile"});
  EXPECT_EQ(seeds.exit_code, exit_wrong_usage);
  EXPECT_EQ(seeds.err,
            "trainer fit: --seeds excludes --profile\nRun trainer fit --help for more.\n");
  const ProgramResult gan =
      trainer(folder, "fit", {"run.dir=runs", "model.name=dcgan", "--profile"});
  EXPECT_EQ(gan.err, "trainer: model \"dcgan\" trains without --profile and --memory\n");
  EXPECT_FALSE(fs::exists(folder / "runs"));
}

TEST(SeedsOption, GivesTheFiguresOfSingleRunsAndSkipsWhatIsDone) {
  const TempFolder folder;
  const ProgramResult both =
      trainer(folder, "fit", {"--seeds", "0,3", "run.dir=runs", "--json", "--quiet"});
  ASSERT_EQ(both.exit_code, 0) << both.err;
  const json report = json::parse(both.out);
  EXPECT_EQ(report, json::parse(read_file(folder / "runs/seeds.json")));
  const ProgramResult alone =
      trainer(folder, "fit", {"train.seed=3", "run.dir=alone", "--json", "--quiet"});
  EXPECT_EQ(report.at("seeds")[1].at("macro_auroc"), json::parse(alone.out).at("macro_auroc"));
  EXPECT_EQ(read_file(folder / "runs/seed-3/last/model.safetensors"),
            read_file(folder / "alone/last/model.safetensors"));

  const std::string log = read_file(folder / "runs/seed-3/metrics.jsonl");
  const ProgramResult more =
      trainer(folder, "fit", {"--seeds", "0,3-4", "run.dir=runs", "--resume"});
  EXPECT_EQ(more.exit_code, 0) << more.err;
  EXPECT_EQ(more.out.find("test folds "), 0U) << more.out;
  EXPECT_NE(more.err.find("seed 4 (3 of 3), in runs/seed-4\n"), std::string::npos) << more.err;
  EXPECT_EQ(read_file(folder / "runs/seed-3/metrics.jsonl"), log) << "it was finished";
  EXPECT_EQ(json::parse(read_file(folder / "runs/seeds.json")).at("seeds").size(), 3U);
}

TEST(SeedsOption, AStoppedCommandGoesOnWhereItWas) {
  const TempFolder folder;
  const Arguments arguments{"--seeds", "0-1", "run.dir=runs", "train.epochs=8"};
  std::thread killer;
  const ProgramResult stopped = trainer(folder, "fit", arguments, [&](int process) {
    killer = std::thread([&folder, process] {
      for (int tries = 0; tries < 6000 && !fs::exists(folder / "runs/seed-1/last"); ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      kill(process, SIGTERM);
    });
  });
  killer.join();
  ASSERT_EQ(stopped.exit_code, exit_interrupted) << stopped.err;
  EXPECT_NE(stopped.err.find("trainer: seed 1: stopped by SIGTERM: a checkpoint of step "),
            std::string::npos)
      << stopped.err;
  EXPECT_FALSE(fs::exists(folder / "runs/seeds.json"));
  Arguments again = arguments;
  again.push_back("--resume");
  const ProgramResult resumed = trainer(folder, "fit", again);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("resumed from runs/seed-1/last"), std::string::npos) << resumed.err;
  const ProgramResult whole =
      trainer(folder, "fit", {"--seeds", "0-1", "run.dir=whole", "train.epochs=8", "--quiet"});
  EXPECT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_EQ(read_file(folder / "runs/seeds.json"), read_file(folder / "whole/seeds.json"));
}

TEST(SeedsOption, ListsAndConfigsThatDoNotFitAreRefused) {
  const TempFolder folder;
  const ProgramResult twice = trainer(folder, "fit", {"run.dir=runs", "--seeds", "0,0"});
  EXPECT_EQ(twice.exit_code, exit_wrong_usage);
  EXPECT_EQ(twice.err,
            "trainer fit: --seeds: \"0,0\": seed 0 stands there twice\nRun trainer fit --help for "
            "more.\n");
  const ProgramResult both =
      trainer(folder, "fit", {"run.dir=runs", "--seeds", "0", "train.seed=3"});
  EXPECT_EQ(both.err, "trainer: --seeds sets train.seed: leave \"train.seed=3\" out\n");
  const ProgramResult gan =
      trainer(folder, "fit", {"run.dir=runs", "--seeds", "0", "model.name=dcgan"});
  EXPECT_EQ(gan.err,
            "trainer: --seeds: model \"dcgan\" has no test figures to average: run it seed by "
            "seed\n");
  EXPECT_FALSE(fs::exists(folder / "runs"));
}

}  // namespace
}  // namespace cardiograd
