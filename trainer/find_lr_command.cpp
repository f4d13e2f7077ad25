#include "trainer/find_lr_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "trainer/find_lr.h"
#include "trainer/gnuplot.h"
#include "trainer/launch.h"
#include "trainer/text_table.h"

namespace cardiograd {

namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  FindLrOptions options;
  std::string picture = "lr.png";
  bool quiet = false;
  bool json = false;
};

std::string two_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2g", value);
  return text;
}

std::string describe(LrCurve::End end) {
  switch (end) {
    case LrCurve::End::diverged:
      return "the smoothed loss exceeded 4 times its lowest";
    case LrCurve::End::not_finite:
      return "the loss was no finite number";
    default:
      return "the last step";
  }
}

nlohmann::ordered_json to_json(const LrCurve& curve, const LrSuggestion& found,
                               const std::string& picture) {
  nlohmann::ordered_json json{{"train.lr", found.careful()},
                              {"steepest", nullptr},
                              {"lowest_tenth", found.tenth()},
                              {"lowest", found.lowest},
                              {"lowest_loss", found.lowest_loss},
                              {"steps", curve.lr().size()},
                              {"ended_by", describe(curve.end())},
                              {"picture", nullptr},
                              {"lr", curve.lr()},
                              {"loss", curve.loss()},
                              {"smoothed_loss", curve.smoothed()}};
  if (found.steepest) json["steepest"] = *found.steepest;
  if (!picture.empty()) json["picture"] = picture;
  return json;
}

std::string to_table(const LrCurve& curve, const LrSuggestion& found) {
  std::string text = aligned_table(
      {{"steps", std::to_string(curve.lr().size())},
       {"learning rates", two_digits(curve.lr().front()) + " to " + two_digits(curve.lr().back())},
       {"lowest loss", two_digits(found.lowest_loss) + " at " + two_digits(found.lowest)},
       {"steepest fall", found.steepest ? two_digits(*found.steepest) : "-"},
       {"lowest / 10", two_digits(found.tenth())}});
  text += "Ended by: " + describe(curve.end()) + "\n";
  if (!found.steepest) {
    text += "The loss never fell: do not trust this; try a larger --to, or look at the data\n";
  }
  const std::vector<double>& lr = curve.lr();
  if (curve.end() == LrCurve::End::all_steps && found.lowest > lr[lr.size() - lr.size() / 20 - 1]) {
    text += "The loss was lowest at the largest learning rates: a larger --to tells more\n";
  }
  return text;
}

// Empty where gnuplot is missing: the figures are worth having without it.
std::string draw(const std::string& picture, const RunConfig& config, const LrCurve& curve,
                 const LrSuggestion& found) {
  try {
    plot_lr(picture,
            "Learning-rate range test: " + config.model.name + " on " + config.data.task + ", " +
                config.train.optimizer,
            curve, found);
    return picture;
  } catch (const DeviceError& error) {
    std::cerr << "no picture: " << error.what() << '\n';
    return "";
  }
}

void run(const Arguments& arguments) {
  check_find_lr(arguments.options);
  check_picture_path(arguments.picture);
  if (const Launch launch = detect_launch(); !launch.alone()) {
    throw InputError("trainer find-lr runs in one process: start it without " +
                     name_of(launch.launcher));
  }
  const RunConfig config = read_config(arguments.config, arguments.overrides, RunDir::optional);
  const LrCurve curve = find_lr(config, arguments.options, arguments.quiet);
  const LrSuggestion found = suggest_lr(curve);
  const std::string picture = draw(arguments.picture, config, curve, found);
  if (arguments.json) {
    std::cout << to_json(curve, found, picture).dump() << '\n';
    return;
  }
  std::cout << to_table(curve, found);
  if (!picture.empty()) std::cout << "Picture: " << picture << '\n';
  std::cout << "The smaller of both, for the config or the command line:\n  train.lr="
            << two_digits(found.careful()) << '\n';
}

}  // namespace

void add_find_lr(CLI::App& app) {
  CLI::App* verb = app.add_subcommand(
      "find-lr", "Find a learning rate: train for some steps while it grows, and watch the loss");
  const auto arguments = std::make_shared<Arguments>();
  verb->add_option("config", arguments->config, "TOML file, as for fit; run.dir is not needed")
      ->required();
  verb->add_option("overrides", arguments->overrides, "section.key=value, as many as you like");
  verb->add_option("--from", arguments->options.from, "Learning rate of the first step")
      ->capture_default_str();
  verb->add_option("--to", arguments->options.to, "Learning rate of the last step")
      ->capture_default_str();
  verb->add_option("--steps", arguments->options.steps,
                   "Optimizer steps; more give a smoother curve")
      ->capture_default_str();
  verb->add_option("--out", arguments->picture, "The picture, .png or .svg (needs gnuplot)")
      ->capture_default_str();
  verb->add_flag("--quiet", arguments->quiet, "No progress");
  verb->add_flag("--json", arguments->json, "Print one JSON object with the curve");
  verb->footer(
      "The learning-rate range test (Smith 2017). It ends early where the smoothed loss exceeds\n"
      "4 times its lowest. Two learning rates come of it: where the loss falls fastest, and a\n"
      "tenth of where it is lowest. It writes the picture and nothing else.");
  verb->callback([arguments] { run(*arguments); });
}

}  // namespace cardiograd
