#include "trainer/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/lost_pages.h"
#include "trainer/communicator.h"
#include "trainer/exit_codes.h"
#include "trainer/signals.h"

namespace cardiograd {

namespace {

// CLI11 says of a misspelt verb only that one is required.
std::string verb_problem(CLI::App& app, int argc, char** argv) {
  if (argc > 1 && argv[1][0] == '-') return "";
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    verbs.push_back(verb->get_name());
    if (argc > 1 && verb->get_name() == argv[1]) return "";
  }
  if (argc == 1) return "a verb is missing; known are " + join(verbs);
  return "there is no verb " + quote(argv[1]) + suggestion(argv[1], verbs);
}

int refuse(const Launch& launch, const std::string& program, const std::string& problem) {
  if (!launch.is_first()) return exit_wrong_usage;
  std::fprintf(stderr, "%s: %s\nRun %s --help for more.\n", program.c_str(), problem.c_str(),
               program.c_str());
  return exit_wrong_usage;
}

}  // namespace

int run_command_line(CLI::App& app, int argc, char** argv, const Launch& launch) {
  const std::string problem = verb_problem(app, argc, argv);
  if (!problem.empty()) return refuse(launch, app.get_name(), problem);
  report_lost_pages(app.get_name());
  try {
    app.parse(argc, argv);
    if (!std::cout.flush() || std::fflush(stdout) != 0) {
      throw InputError("standard output cannot be written");
    }
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help and --version
      return launch.is_first() ? app.exit(error) : exit_ok;
    }
    const std::vector<CLI::App*> verb = app.get_subcommands();
    return refuse(launch, app.get_name() + (verb.empty() ? "" : " " + verb.front()->get_name()),
                  error.what());
  } catch (const Interrupted& stop) {
    if (launch.is_first()) std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), stop.what());
    return exit_interrupted;
  } catch (const LostRank& error) {
    return end_after_error(launch, app.get_name(), error.what(), exit_lost_rank);
  } catch (const std::exception& error) {
    return end_after_error(launch, app.get_name(), error.what(), exit_failed);
  }
  return exit_ok;
}

}  // namespace cardiograd
