#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "tools/verbs.h"

int main(int argc, char** argv) {
  CLI::App app{"cardiograd: train and run ECG classifiers", "cardiograd"};
  app.set_version_flag("--version", "cardiograd " CARDIOGRAD_VERSION);
  app.require_subcommand(1);
  cardiograd::add_score(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);  // --help, --version
  } catch (const std::exception& error) {
    std::cerr << "cardiograd: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}
