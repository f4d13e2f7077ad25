// cardiograd: one verb a task, see tools/verbs.h.
#include <CLI/CLI.hpp>

#include "tools/verbs.h"
#include "trainer/command_line.h"

int main(int argc, char** argv) {
  CLI::App app("Tools around the training of ECG classifiers on PTB-XL", "cardiograd");
  app.set_version_flag("--version", "cardiograd " CARDIOGRAD_VERSION);
  app.require_subcommand(1);
  app.footer("cardiograd VERB --help tells what a verb takes. Models are trained by `trainer`.");
  cardiograd::add_synth(app);
  cardiograd::add_prepare(app);
  cardiograd::add_score(app);
  cardiograd::add_plot(app);
  cardiograd::add_predict(app);
  cardiograd::add_compare(app);
  cardiograd::add_convert(app);
  cardiograd::add_bench(app);
  cardiograd::add_info(app);
  return cardiograd::run_command_line(app, argc, argv);
}
