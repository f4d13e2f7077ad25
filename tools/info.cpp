// cardiograd info: what this build can run on.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "kernels/backend.h"
#include "tools/verbs.h"

namespace cardiograd {

void add_info(CLI::App& app) {
  app.add_subcommand("info", "Say in one line which backends this build has")->callback([] {
    std::printf("cardiograd %s: %s\n", CARDIOGRAD_VERSION, built_backends().c_str());
  });
}

}  // namespace cardiograd
