#include "trainer/seeds.h"

#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "tests/support/send_signal.h"
#include "tests/support/temp_folder.h"
#include "trainer/signals.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::error_of;
using testing::read_file;
using testing::send_signal;
using testing::TempFolder;
using Seeds = std::vector<std::int64_t>;

// Stands for fit(): leaves a test.json whose figures follow from the seed.
void leave_figures(const RunConfig& config) {
  fs::create_directories(config.run.dir);
  const double x = static_cast<double>(config.train.seed);
  const json report{
      {"epoch", 3},
      {"macro_auroc", 0.8 + 0.01 * x},
      {"macro_auprc", 0.5},
      {"macro_f1", config.train.seed == 1 ? json(nullptr) : json(0.25)},
      {"hit_rate", 0.6 - 0.1 * x},
      {"classes",
       {{{"name", "MI"}, {"auroc", 0.7 + 0.1 * x}}, {{"name", "HYP"}, {"auroc", nullptr}}}}};
  std::ofstream(fs::path(config.run.dir) / "test.json") << report;
}

RunConfig config_for(const fs::path& run) {
  RunConfig config;
  config.run.dir = run.string();
  return config;
}

std::vector<SeedFigures> run_all(const fs::path& run, const Seeds& seeds,
                                 Start start = Start::anew) {
  return fit_seeds(config_for(run), seeds, start, leave_figures, [](const std::string&) {});
}

TEST(Seeds, AreAListOrRanges) {
  EXPECT_EQ(parse_seeds("7"), Seeds{7});
  EXPECT_EQ(parse_seeds("2,0,4294967295"), (Seeds{2, 0, 4294967295}));
  EXPECT_EQ(parse_seeds("0-2,7,9-10"), (Seeds{0, 1, 2, 7, 9, 10}));
  const auto error = [](const std::string& text) { return error_of([&] { parse_seeds(text); }); };
  const std::string like =
      " is no seed: name them like 0,1,2 or as a range like 0-4, without spaces";
  EXPECT_EQ(error(""), "\"\": \"\"" + like);
  EXPECT_EQ(error("1,,2"), "\"1,,2\": \"\"" + like);
  EXPECT_EQ(error("1,"), "\"1,\": \"\"" + like);
  EXPECT_EQ(error("-1"), "\"-1\": \"-1\"" + like);
  EXPECT_EQ(error("1 2"), "\"1 2\": \"1 2\"" + like);
  EXPECT_EQ(error("0-4-6"), "\"0-4-6\": \"4-6\"" + like);
  EXPECT_EQ(error("0-"), "\"0-\": \"\"" + like);
  EXPECT_EQ(error("0,1,0"), "\"0,1,0\": seed 0 stands there twice");
  EXPECT_EQ(error("0-3,2"), "\"0-3,2\": seed 2 stands there twice");
  EXPECT_EQ(error("4-0"),
            "\"4-0\": the range \"4-0\" runs backwards: the smaller seed comes first");
  EXPECT_EQ(error("4294967296"),
            "\"4294967296\": \"4294967296\" is too large: a seed is at most 4294967295");
  EXPECT_EQ(error("0-4294967295"), "\"0-4294967295\": more than 1000 seeds");
}

TEST(Seeds, TheSpreadIsMeanAndSampleDeviation) {
  const Spread three = spread_of({1.0, 2.0, 6.0});
  EXPECT_EQ(three.mean, 3.0);
  EXPECT_NEAR(*three.sd, std::sqrt(14.0 / 2.0), 1e-15);
  EXPECT_EQ(spread_of({1.0, std::nullopt, 3.0}).mean, 2.0);
  EXPECT_EQ(spread_of({1.0, std::nullopt, 3.0}).count, 2);
  EXPECT_EQ(spread_of({5.0}).sd, std::nullopt);
  EXPECT_EQ(spread_of({std::nullopt}).mean, std::nullopt);
}

TEST(Seeds, EachHasAFolderAndAllHaveOneTable) {
  const TempFolder folder;
  const std::vector<SeedFigures> figures = run_all(folder / "run", {0, 1, 2});
  const json report = json::parse(read_file(folder / "run/seeds.json"));
  EXPECT_EQ(report, seeds_json(figures));
  ASSERT_EQ(report.at("seeds").size(), 3U);
  EXPECT_EQ(report.at("seeds")[2].at("seed"), 2);
  EXPECT_EQ(report.at("seeds")[2].at("classes")[1].at("auroc"), nullptr);
  const json& summary = report.at("summary");
  EXPECT_NEAR(summary.at("macro_auroc").at("mean").get<double>(), 0.81, 1e-12);
  EXPECT_NEAR(summary.at("macro_auroc").at("sd").get<double>(), 0.01, 1e-12);
  EXPECT_EQ(summary.at("macro_f1").at("seeds"), 2);
  EXPECT_NEAR(summary.at("classes")[0].at("auroc").at("sd").get<double>(), 0.1, 1e-12);
  EXPECT_EQ(seeds_table(figures),
            "test folds                  mean ± sd  seed 0  seed 1  seed 2\n"
            "macro AUROC           0.8100 ± 0.0100  0.8000  0.8100  0.8200\n"
            "macro AUPRC           0.5000 ± 0.0000  0.5000  0.5000  0.5000\n"
            "macro F1     0.2500 ± 0.0000 (2 of 3)  0.2500       -  0.2500\n"
            "hit rate              0.5000 ± 0.1000  0.6000  0.5000  0.4000\n"
            "AUROC MI              0.8000 ± 0.1000  0.7000  0.8000  0.9000\n"
            "AUROC HYP                           -       -       -       -\n"
            "best epoch                                  3       3       3\n");
  EXPECT_NE(read_file(folder / "run/seeds.md")
                .find("| macro AUROC | 0.8100 ± 0.0100 | 0.8000 | 0.8100 | 0.8200 |\n"),
            std::string::npos);
}

TEST(Seeds, AFolderThatHoldsSomethingElseIsRefused) {
  const TempFolder folder;
  run_all(folder / "run", {0});
  const std::string run = (folder / "run").string();
  EXPECT_EQ(error_of([&] { run_all(run, {1}); }),
            "run.dir " + run +
                " exists already: choose another folder, or move the old runs away, "
                "or go on with them by --resume");
  EXPECT_EQ(run_all(run, {0, 1}, Start::resume).size(), 2U) << "seeds may be added";
  folder.write("mine/thesis.txt", "x");
  const std::string mine = (folder / "mine").string();
  EXPECT_EQ(
      error_of([&] { run_all(mine, {0}); }),
      "run.dir " + mine + " exists already: choose another folder, or move the old runs away");
  EXPECT_EQ(error_of([&] { run_all(mine, {0}, Start::resume); }),
            "run.dir " + mine +
                " holds something, but no runs of seeds to resume: choose another folder");
}

TEST(Seeds, AnErrorNamesTheSeedAndLeavesNoTable) {
  const TempFolder folder;
  const auto fails = [](const RunConfig& config) {
    if (config.train.seed == 5) throw InputError("the loss became nan");
    leave_figures(config);
  };
  const auto say = [](const std::string&) {};
  EXPECT_EQ(error_of([&] {
              fit_seeds(config_for(folder / "run"), {4, 5}, Start::anew, fails, say);
            }),
            "seed 5: the loss became nan");
  EXPECT_FALSE(fs::exists(folder / "run/seeds.json"));
  const auto broken = [](const RunConfig& config) {
    fs::create_directories(config.run.dir);
    std::ofstream(fs::path(config.run.dir) / "test.json") << "{\"epoch\": 1}";
  };
  const std::string path = (folder / "broken/seed-4").string();
  EXPECT_EQ(
      error_of([&] { fit_seeds(config_for(folder / "broken"), {4}, Start::anew, broken, say); }),
      "seed 4: " + path + "/test.json is not what trainer fit wrote: remove " + path +
          " and train this seed again");
}

TEST(Seeds, AnInterruptionStaysOneAndASignalBetweenTwoRunsIsHeeded) {
  const TempFolder folder;
  // As fit(): a scope of its own, which looks for signals while it trains but not at its end.
  const auto runs = [](const RunConfig& config) {
    const SignalScope signals;
    if (signals.stop_signal() != 0) throw Interrupted("stopped");
    leave_figures(config);
    if (config.train.seed == 1) send_signal(SIGTERM, [&] { return signals.stop_signal() != 0; });
  };
  try {
    fit_seeds(config_for(folder / "run"), {0, 1, 2}, Start::anew, runs, [](const std::string&) {});
    FAIL() << "the signal was lost";
  } catch (const Interrupted& stop) {
    EXPECT_EQ(std::string(stop.what()), "seed 2: stopped");
  }
  EXPECT_EQ(SignalScope().stop_signal(), 0) << "what comes next begins anew";
}

}  // namespace
}  // namespace cardiograd
