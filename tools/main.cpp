// cardiograd: one verb a task, see tools/verbs.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "tools/verbs.h"

int main(int argc, char** argv) {
  CLI::App app("Tools around the training of ECG classifiers on PTB-XL", "cardiograd");
  app.require_subcommand(1);
  cardiograd::add_prepare(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cardiograd: %s\n", error.what());
    return 1;
  }
  return 0;
}
