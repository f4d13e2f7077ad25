// trainer: train and evaluate models.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "kernels/backend.h"
#include "kernels/text.h"
#include "models/registry.h"
#include "nn/input_file.h"
#include "trainer/command_line.h"
#include "trainer/config.h"
#include "trainer/eval.h"
#include "trainer/exit_codes.h"
#include "trainer/find_lr_command.h"
#include "trainer/fit.h"
#include "trainer/gan.h"
#include "trainer/launch.h"
#include "trainer/metrics_report.h"
#include "trainer/profile_report.h"
#include "trainer/resume.h"
#include "trainer/seeds_command.h"

namespace {

using namespace cardiograd;

constexpr std::size_t most_report_bytes = 1 << 24;

struct FitArguments {
  std::string config;
  std::vector<std::string> overrides;
  bool quiet = false;
  bool json = false;
  bool resume = false;
  StepInsight insight;
  std::string seeds;
};

void report_gan(const RunConfig& config, const GanResult& result, bool json) {
  if (json) {
    std::cout << nlohmann::ordered_json{{"records", result.records},
                                        {"critic_loss", result.critic_loss},
                                        {"generator_loss", result.generator_loss}}
                     .dump()
              << '\n';
    return;
  }
  std::cout << "Trained on " << result.records << " records of " << config.gan.class_name
            << "; last epoch: critic loss " << result.critic_loss << ", generator loss "
            << result.generator_loss << "\nRun folder: " << config.run.dir << '\n';
}

void report_finished(const RunConfig& config, bool json) {
  if (json) {
    const std::filesystem::path path = std::filesystem::path(config.run.dir) / "test.json";
    const std::string text = read_text(path, most_report_bytes);
    std::cout << nlohmann::ordered_json::parse(text).dump() << '\n';
    return;
  }
  std::cout << "The run in " << config.run.dir << " is finished: all " << config.train.epochs
            << " epochs are trained and tested. A larger train.epochs goes on with it.\n";
}

void report_fit(const RunConfig& config, const FitResult& result, bool json) {
  if (result.was_finished) {
    report_finished(config, json);
    return;
  }
  if (json) {
    nlohmann::ordered_json report = to_json(result.test);
    report["epoch"] = result.best_epoch;
    if (result.profile) report["profile"] = profile_json(*result.profile);
    if (result.memory) report["memory"] = memory_json(*result.memory);
    std::cout << report.dump() << '\n';
    return;
  }
  std::cout << "Test folds, best epoch " << result.best_epoch << ":\n"
            << to_table(result.test) << "Run folder: " << config.run.dir << '\n';
  if (result.memory) std::cout << '\n' << memory_table(*result.memory);
  if (!result.profile) return;
  std::cout << '\n'
            << profile_table(*result.profile)
            << "Timing each operation made the steps longer. Batches, which are made beside the "
               "steps, are not in them.\n";
}

void add_fit(CLI::App& app, FitArguments& arguments) {
  CLI::App* verb = app.add_subcommand("fit", "Train a model as a config file says");
  verb->add_option("config", arguments.config, "TOML file; ready ones lie in trainer/configs")
      ->required();
  verb->add_option("overrides", arguments.overrides, "section.key=value, as many as you like");
  verb->add_flag("--quiet", arguments.quiet, "No progress");
  verb->add_flag("--resume", arguments.resume,
                 "Go on with the run in run.dir from its last checkpoint, with the same bits as if "
                 "it had never stopped; without a checkpoint, begin anew");
  verb->add_flag("--json", arguments.json, "Print the test figures as one JSON object");
  CLI::Option* seeds =
      verb->add_option("--seeds", arguments.seeds, describe_seeds())->check(check_seeds);
  verb->add_flag(
          "--profile", arguments.insight.profile,
          "Time each operation of the training steps but the first three, and say at the end "
          "where the time went: by layer, operation and pass, on standard output, with "
          "--json under \"profile\". Steps take longer; the results are the same")
      ->excludes(seeds);
  verb->add_flag("--memory", arguments.insight.memory,
                 "Say at the end what a training step holds in memory, by layer and pass, on "
                 "standard output, with --json under \"memory\"; of one process")
      ->excludes(seeds);
  verb->add_flag_callback(
      "--help-config",
      [] {
        std::cout << describe_config();
        throw CLI::Success();
      },
      "List all config keys with their defaults");
  verb->footer(
      "SIGTERM and SIGINT end the run after the current step, with a checkpoint and exit code 75;\n"
      "SIGUSR1 saves a checkpoint and goes on. A resumed run may change:\n  " +
      join(changeable_keys()) + "\n\n" + describe_exit_codes());
  verb->callback([&arguments] {
    const Launch launch = detect_launch();
    const RunConfig config = read_config(arguments.config, arguments.overrides);
    const Start start = arguments.resume ? Start::resume : Start::anew;
    if (!arguments.seeds.empty()) {
      run_seeds(config, arguments.overrides,
                {arguments.seeds, start, arguments.quiet, arguments.json});
      return;
    }
    if (is_gan(config)) {
      if (!launch.alone()) {
        throw InputError("model \"dcgan\" is trained by one process: start trainer without " +
                         name_of(launch.launcher));
      }
      if (arguments.resume) throw InputError("model \"dcgan\" cannot be resumed: run it anew");
      if (arguments.insight.profile || arguments.insight.memory) {
        throw InputError("model \"dcgan\" trains without --profile and --memory");
      }
      report_gan(config, fit_gan(config, arguments.quiet), arguments.json);
      return;
    }
    const FitResult result = fit(config, arguments.quiet, start, launch, arguments.insight);
    if (launch.is_first()) report_fit(config, result, arguments.json);
  });
}

void add_eval(CLI::App& app, EvalOptions& options, bool& json) {
  CLI::App* verb = app.add_subcommand("eval", "Evaluate a run's best model, or weights");
  verb->add_option("run", options.run,
                   "The run's folder; or, with --checkpoint FILE, a config that names model and "
                   "data");
  verb->add_option("overrides", options.overrides, "section.key=value, as many as you like");
  verb->add_option("--data", options.data, "Another packed data set than the run's");
  verb->add_option("--fold", options.fold, "One fold instead of the run's test folds")
      ->check(CLI::Range(1, 10));
  verb->add_option(
          "--checkpoint", options.checkpoint,
          "best or last of the run; or a .pt or .safetensors file or a checkpoint's folder")
      ->capture_default_str();
  verb->add_flag("--quiet", options.quiet, "No progress");
  verb->add_flag("--json", json, "Print one JSON object and nothing else");
  verb->callback([&options, &json] {
    if (options.run.empty() && options.is_of_run()) throw CLI::RequiredError("run");
    const Launch launch = detect_launch();
    const EvalResult result = evaluate_run(options, launch);
    if (!launch.is_first()) return;
    if (json) {
      nlohmann::ordered_json report = to_json(result.metrics);
      report["loss"] = result.loss;
      if (result.epoch) report["epoch"] = *result.epoch;
      std::cout << report.dump() << '\n';
      return;
    }
    std::cout << to_table(result.metrics) << "Loss " << result.loss;
    if (result.epoch) std::cout << ", model of epoch " << *result.epoch;
    std::cout << '\n';
  });
}

void add_models(CLI::App& app) {
  app.add_subcommand("models", "List the models that a config can name")->callback([] {
    for (const ModelEntry& entry : model_registry()) {
      std::printf("%-14s %s\n", entry.name.c_str(), entry.summary.c_str());
    }
    std::printf("%-14s %s\n", "dcgan", "generates signals of one class; has a loop of its own");
  });
}

// For who speaks of several; what is wrong with it the verbs say that run in several processes.
Launch launch_if_told() {
  try {
    return detect_launch();
  } catch (const InputError&) {
    return {};
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Train and evaluate ECG classifiers", "trainer");
  app.set_version_flag("--version",
                       [] { return "trainer " CARDIOGRAD_VERSION "; " + built_backends(); });
  app.require_subcommand(1);
  app.footer(describe_exit_codes());
  FitArguments fit_arguments;
  EvalOptions eval_options;
  bool eval_json = false;
  add_fit(app, fit_arguments);
  add_eval(app, eval_options, eval_json);
  add_find_lr(app);
  add_models(app);
  return run_command_line(app, argc, argv, launch_if_told());
}
