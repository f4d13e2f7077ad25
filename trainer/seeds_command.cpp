#include "trainer/seeds_command.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "kernels/text.h"
#include "trainer/fit.h"
#include "trainer/gan.h"
#include "trainer/launch.h"
#include "trainer/progress.h"
#include "trainer/seeds.h"

namespace cardiograd {

namespace {

void check(const RunConfig& config, const std::vector<std::string>& overrides) {
  if (is_gan(config)) {
    throw InputError(
        "--seeds: model \"dcgan\" has no test figures to average: run it seed by seed");
  }
  for (const std::string& text : overrides) {
    if (text.starts_with("train.seed=")) {
      throw InputError("--seeds sets train.seed: leave " + quote(text) + " out");
    }
  }
  if (const Launch launch = detect_launch(); !launch.alone()) {
    throw InputError("--seeds trains in one process: start it without " + name_of(launch.launcher) +
                     ", or start one job a seed with train.seed=N");
  }
}

}  // namespace

std::string describe_seeds() {
  return "Train one run a seed, such as 0,1,2 or 0-4, one after the other, in run.dir/seed-N; at "
         "the end mean and standard deviation over seeds, also in run.dir/seeds.json and seeds.md. "
         "With --resume, finished seeds are skipped, the others go on, and new ones are added";
}

std::string check_seeds(const std::string& text) {
  try {
    parse_seeds(text);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

void run_seeds(const RunConfig& config, const std::vector<std::string>& overrides,
               const SeedsArguments& arguments) {
  check(config, overrides);
  const std::vector<SeedFigures> figures = fit_seeds(
      config, parse_seeds(arguments.seeds), arguments.start,
      [&](const RunConfig& one) { fit(one, arguments.quiet, arguments.start); },
      [&](const std::string& line) { Progress(arguments.quiet).finish(line); });
  if (arguments.json) {
    std::cout << seeds_json(figures).dump() << '\n';
    return;
  }
  std::cout << seeds_table(figures) << "Run folders: " << config.run.dir << "/seed-*; the same in "
            << config.run.dir << "/seeds.md and seeds.json\n";
}

}  // namespace cardiograd
