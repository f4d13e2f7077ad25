// cardiograd prepare --root DIR --rate 100|500 --out FILE [--denoise SPEC] [--keep-going]
#include "data/prepare.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "data/packed.h"
#include "tools/verbs.h"
#include "trainer/progress.h"

namespace cardiograd {
namespace {

void print_rejected(const PrepareSummary& summary) {
  constexpr std::size_t most = 5;
  const auto& rejected = summary.rejected;
  std::printf("set aside    %zu", rejected.size());
  if (summary.report.empty()) {
    std::printf("\n");
    return;
  }
  std::printf(", listed in %s\n", summary.report.c_str());
  for (std::size_t i = 0; i < std::min(most, rejected.size()); ++i) {
    std::printf("             %s: %s\n", rejected[i].ecg_id.c_str(), rejected[i].reason.c_str());
  }
  if (rejected.size() > most) std::printf("             and %zu more\n", rejected.size() - most);
}

void print_summary(const PrepareOptions& options, const PrepareSummary& summary) {
  const auto number = [](std::int64_t value) { return static_cast<long long>(value); };
  std::printf("packed       %lld of %lld records at %d Hz into %s (%.1f MB)\n",
              number(summary.records), number(summary.rows), options.rate, options.out.c_str(),
              static_cast<double>(summary.bytes) / 1e6);
  print_rejected(summary);
  std::printf("by fold     ");
  for (std::size_t fold = 1; fold < summary.by_fold.size(); ++fold) {
    std::printf(" %zu: %lld%s", fold, number(summary.by_fold[fold]), fold < 10 ? "," : "\n");
  }
  std::printf("statements   %lld known, %lld used\n", number(summary.statements),
              number(summary.statements_used));
  std::printf("no label    ");
  const char* separator = " ";
  for (const auto& [task, count] : summary.unlabelled) {
    std::printf("%s%s: %lld", separator, task.c_str(), number(count));
    separator = ", ";
  }
  std::printf(" (a run of that task drops them)\n");
  std::printf("samples      %lld missing\n", number(summary.missing_samples));
  if (options.denoise) {
    const auto samples =
        static_cast<double>(summary.records) * options.rate * packed_seconds * packed_leads;
    std::printf("denoised     %s: %.1f %% of the samples changed\n",
                options.denoise->to_string().c_str(),
                100.0 * static_cast<double>(summary.changed_samples) / samples);
  }
  std::printf("notes        %lld embedded, %lld empty\n",
              number(summary.records - summary.empty_notes), number(summary.empty_notes));
  std::printf("time         %.2f s, %.0f records/s\n", summary.seconds,
              static_cast<double>(summary.rows) / summary.seconds);
}

}  // namespace

void add_prepare(CLI::App& app) {
  auto options = std::make_shared<PrepareOptions>();
  CLI::App* verb = app.add_subcommand("prepare", "Pack PTB-XL into one file that every run maps");
  verb->add_option("--root", options->root, "Folder of PTB-XL (it holds ptbxl_database.csv)")
      ->required();
  verb->add_option("--rate", options->rate, "Samples per second: 100 or 500")
      ->check(CLI::IsMember({100, 500}))
      ->capture_default_str();
  verb->add_option("--out", options->out, "The file to write")->required();
  verb->add_option_function<std::string>(
          "--denoise",
          [options](const std::string& text) {
            options->denoise = parse_denoise(text, "--denoise");
          },
          "Wavelet denoising of each lead, such as db4 or db4,levels=3,mode=hard,factor=0.1")
      ->type_name("SPEC");
  verb->add_flag("--keep-going", options->keep_going,
                 "Set bad records aside in OUT.rejected.csv instead of stopping at the first");
  verb->callback([options] {
    Progress progress;
    bool begun = false;
    const PrepareSummary summary = prepare(*options, [&](std::int64_t done, std::int64_t total) {
      if (!std::exchange(begun, true)) progress.begin("packing records", total);
      progress.update(done);
    });
    progress.finish();
    print_summary(*options, summary);
  });
}

}  // namespace cardiograd
