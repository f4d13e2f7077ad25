// cardiograd plot RUN_DIR|metrics.jsonl|metrics.pt --out FILE.png|FILE.svg [--kind KIND]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "tools/verbs.h"
#include "trainer/run_pictures.h"

namespace cardiograd {
namespace {

struct Options {
  std::string source;
  std::string out;
  std::string kind;
};

std::string kinds_footer() {
  std::string text = "Kinds of pictures:\n";
  for (const PictureKind& kind : picture_kinds()) {
    text += "  " + kind.name + std::string(13 - kind.name.size(), ' ') + kind.summary + "\n";
  }
  return text +
         "  all          each of these that the files allow, as FILE-KIND.png\n"
         "Without --kind: training, or loss where the file has no AUROC. Kinds from roc on need "
         "the\n"
         "folder of a finished run.";
}

}  // namespace

void add_plot(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("plot", "Draw the pictures of a run");
  verb->add_option("source", options->source,
                   "A run's folder, its metrics.jsonl, or the metrics.pt of the seed's scripts")
      ->required();
  verb->add_option("--out", options->out, "The picture to write: FILE.png or FILE.svg")->required();
  verb->add_option("--kind", options->kind, "Which picture; see below");
  verb->footer(kinds_footer());
  verb->callback([options] {
    for (const auto& path : draw_run(options->source, options->out, options->kind)) {
      std::printf("written: %s\n", path.c_str());
    }
  });
}

}  // namespace cardiograd
