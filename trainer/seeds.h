// trainer fit --seeds: one run a seed, and what they have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/config.h"
#include "trainer/run_folder.h"

namespace cardiograd {

// "0,1,2" or "0-4" or "0-2,7", in that order. Throws InputError for anything else, a seed that
// stands twice, one above 4294967295 (train.seed's bound), and for more than 1000.
std::vector<std::int64_t> parse_seeds(const std::string& text);

// Test figures of one seed's run.
struct SeedFigures {
  std::int64_t seed = 0;
  std::int64_t epoch = 0;  // whose weights were tested
  std::optional<double> macro_auroc{}, macro_auprc{}, macro_f1{};
  double hit_rate = 0.0;
  std::vector<std::pair<std::string, std::optional<double>>> class_auroc{};
};

// Mean and sample standard deviation (n - 1) of one figure over the seeds that have it.
struct Spread {
  std::int64_t count = 0;
  std::optional<double> mean{};  // absent where no seed has the figure
  std::optional<double> sd{};    // absent for fewer than two
};
Spread spread_of(const std::vector<std::optional<double>>& values);

// RUN/seed-3
std::filesystem::path seed_folder(const std::filesystem::path& run, std::int64_t seed);

// Runs fit_one with config's train.seed and run.dir set for each seed, in their order, one run.dir
// RUN/seed-N a seed; then writes RUN/seeds.json and RUN/seeds.md from the test.json of each. say:
// gets a line before each seed. To resume, fit_one is called for every seed again, and must know
// itself what is left to do (fit() with Start::resume does).
//
// Throws InputError where RUN holds something already (or, to resume, something else than seeds);
// Interrupted and Error, beginning with the seed, where fit_one threw.
std::vector<SeedFigures> fit_seeds(const RunConfig& config, const std::vector<std::int64_t>& seeds,
                                   Start start,
                                   const std::function<void(const RunConfig&)>& fit_one,
                                   const std::function<void(const std::string&)>& say);

// seeds.json: {"seeds": [{seed, epoch, macro_auroc, macro_auprc, macro_f1, hit_rate, classes
// [{name, auroc}]}], "summary": {macro_auroc {mean, sd, seeds}, ..., "classes": [{name, auroc
// {...}}]}}. What is absent is null.
nlohmann::ordered_json seeds_json(const std::vector<SeedFigures>& figures);
// A row a figure: mean ± sd, then each seed. Lines for a terminal.
std::string seeds_table(const std::vector<SeedFigures>& figures);

}  // namespace cardiograd
