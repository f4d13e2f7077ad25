// cardiograd score: the metrics of a run, for anyone's predictions.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/npy.h"
#include "kernels/error.h"
#include "tools/verbs.h"
#include "trainer/bootstrap.h"
#include "trainer/metrics.h"
#include "trainer/metrics_report.h"

namespace cardiograd {
namespace {

struct Options {
  std::string targets;
  std::string predictions;
  std::string bootstrap_ids;
  std::int64_t bootstrap = 0;
  std::uint64_t seed = 0;
  std::vector<std::string> class_names;
  bool json = false;
};

// [records, classes]; a single column may come without its axis.
NpyArray read_matrix(const std::string& path) {
  NpyArray array = read_npy(path);
  if (array.shape.size() == 1) array.shape.push_back(1);
  if (array.shape.size() != 2) {
    throw InputError(path + ": an array of shape [records, classes] is wanted, not " +
                     array.shape_text());
  }
  return array;
}

std::vector<std::string> name_classes(const Options& options, std::int64_t classes) {
  std::vector<std::string> names = options.class_names;
  if (names.empty()) {
    for (std::int64_t i = 0; i < classes; ++i) names.push_back("class " + std::to_string(i));
  }
  if (static_cast<std::int64_t>(names.size()) != classes) {
    throw InputError("--class-names has " + std::to_string(names.size()) + " names, but " +
                     options.targets + " has " + std::to_string(classes) + " classes");
  }
  return names;
}

std::optional<Bootstrap> bootstrap_from_file(const Predictions& predictions,
                                             const std::string& path) {
  const NpyArray array = read_npy(path);
  if (array.shape.size() != 2 || !array.integral) {
    throw InputError(path + ": an array of integers of shape [resamples, records] is wanted");
  }
  std::vector<std::int32_t> ids;
  ids.reserve(array.values.size());
  for (const double value : array.values) {
    // What does not fit cannot be a record's number either; it is refused with its row and column.
    const bool fits = value >= 0.0 && value <= std::numeric_limits<std::int32_t>::max();
    ids.push_back(fits ? static_cast<std::int32_t>(value) : -1);
  }
  try {
    return bootstrap_auroc(predictions, ids, array.shape[0]);
  } catch (const InputError& error) {
    throw InputError(path + ": " + error.what());
  }
}

void score(const Options& options) {
  const NpyArray targets = read_matrix(options.targets);
  const NpyArray scores = read_matrix(options.predictions);
  if (targets.shape != scores.shape) {
    throw InputError(options.targets + " has shape " + targets.shape_text() + ", but " +
                     options.predictions + " has shape " + scores.shape_text());
  }
  const std::vector<std::string> names = name_classes(options, targets.shape[1]);
  const Predictions predictions{targets.shape[0], names, targets.values, scores.values};
  Metrics metrics = evaluate(predictions);
  std::optional<Bootstrap> bootstrap;
  if (!options.bootstrap_ids.empty()) {
    bootstrap = bootstrap_from_file(predictions, options.bootstrap_ids);
  } else if (options.bootstrap != 0) {
    bootstrap = bootstrap_auroc(predictions, options.bootstrap, options.seed);
  }
  if (bootstrap) metrics.set_bootstrap(std::move(*bootstrap));
  if (options.json) {
    std::cout << to_json(metrics).dump() << '\n';
  } else {
    std::cout << to_table(metrics);
  }
  if (!std::cout.flush()) throw InputError("the figures could not be written to standard output");
}

}  // namespace

void add_score(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("score", "Score predictions against targets");
  verb->add_option("--targets", options->targets, ".npy file of 0 and 1, [records, classes]")
      ->required();
  verb->add_option("--predictions", options->predictions,
                   ".npy file of probabilities, [records, classes]")
      ->required();
  CLI::Option* ids =
      verb->add_option("--bootstrap-ids", options->bootstrap_ids,
                       ".npy file of record numbers from 0, one row a resample: [resamples, size]");
  CLI::Option* count = verb->add_option("--bootstrap", options->bootstrap,
                                        "Number of resamples of the records, drawn at random")
                           ->excludes(ids)
                           ->check(CLI::Range(std::int64_t{1}, max_bootstrap_resamples));
  verb->add_option("--seed", options->seed, "Seed of --bootstrap (0 unless given)")->needs(count);
  verb->add_option("--class-names", options->class_names, "Names of the classes, comma-separated")
      ->delimiter(',');
  verb->add_flag("--json", options->json, "Print one JSON object and nothing else");
  verb->callback([options] { score(*options); });
}

}  // namespace cardiograd
