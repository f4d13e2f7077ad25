// cardiograd: one verb a task, see tools/verbs.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "tools/verbs.h"

int main(int argc, char** argv) {
  CLI::App app("Tools around the training of ECG classifiers on PTB-XL", "cardiograd");
  app.set_version_flag("--version", "cardiograd " CARDIOGRAD_VERSION);
  app.require_subcommand(1);
  app.footer("cardiograd VERB --help tells what a verb takes. Models are trained by `trainer`.");
  cardiograd::add_synth(app);
  cardiograd::add_prepare(app);
  cardiograd::add_score(app);
  cardiograd::add_bench(app);
  cardiograd::add_info(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cardiograd: %s\n", error.what());
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
