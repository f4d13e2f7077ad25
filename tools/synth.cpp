// cardiograd synth --out DIR --records N [--rate 100|500] [--seed S]
#include "data/synth.h"

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <memory>
#include <string>

#include "tools/verbs.h"
#include "trainer/progress.h"

namespace cardiograd {
namespace {

void print_summary(const SynthOptions& options, const SynthSummary& summary) {
  constexpr std::array<const char*, 5> names{"NORM", "MI", "STTC", "CD", "HYP"};
  const auto number = [](std::int64_t value) { return static_cast<long long>(value); };
  std::printf("records      %lld of %lld patients, seed %llu\n", number(summary.records),
              number(summary.patients), static_cast<unsigned long long>(options.seed));
  std::printf("superclasses");
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::printf(" %s: %lld,", names[i], number(summary.superclass[i]));
  }
  std::printf(" none: %lld\n", number(summary.without_superclass));
  std::printf("by fold     ");
  for (std::size_t i = 0; i < summary.fold.size(); ++i) {
    std::printf(" %zu: %lld%s", i + 1, number(summary.fold[i]),
                i + 1 < summary.fold.size() ? "," : "\n");
  }
  std::printf("written to   %s\n", options.out.c_str());
}

}  // namespace

void add_synth(CLI::App& app) {
  auto options = std::make_shared<SynthOptions>();
  CLI::App* verb = app.add_subcommand("synth", "Make a synthetic data set laid out like PTB-XL");
  verb->add_option("--out", options->out, "Folder to make; it must be new or empty")->required();
  verb->add_option("--records", options->records, "How many records")->required();
  verb->add_option("--rate", options->rate, "Samples per second: 100 or 500; absent: both");
  verb->add_option("--seed", options->seed, "Another seed makes other records")
      ->capture_default_str();
  verb->callback([options] {
    Progress progress;
    progress.begin("making records", options->records);
    options->progress = [&progress](std::int64_t done) { progress.update(done); };
    const SynthSummary summary = make_synth_dataset(*options);
    progress.finish();
    print_summary(*options, summary);
  });
}

}  // namespace cardiograd
