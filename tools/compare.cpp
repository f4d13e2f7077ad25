// cardiograd compare: the test figures of several runs in one table.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/input_file.h"
#include "nn/strict_json.h"
#include "tools/verbs.h"
#include "trainer/text_table.h"

namespace cardiograd {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::filesystem::path> runs;
  bool markdown = false;
  bool json = false;
};

constexpr std::size_t most_report_bytes = 1 << 20;

Json number(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? Json() : Json(found->get<double>());
}

// What test.json says of a run, with the run's name in front.
Json summary(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "test.json";
  if (!std::filesystem::exists(path)) {
    throw InputError(path.string() + " does not exist: is " + run.string() +
                     " the folder of a finished run?");
  }
  const nlohmann::json report =
      parse_strict_json(read_text(path, most_report_bytes), path.string(), 4);
  try {
    std::filesystem::path folder = run.lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    Json row{{"run", folder.filename().string()},
             {"model", report.at("model").get<std::string>()},
             {"inputs", report.at("inputs").get<std::vector<std::string>>()},
             {"task", report.at("task").get<std::string>()},
             {"epoch", report.at("epoch").get<std::int64_t>()},
             {"records", report.at("records").get<std::int64_t>()},
             {"macro_auroc", number(report, "macro_auroc")},
             {"macro_auprc", number(report, "macro_auprc")},
             {"macro_f1", number(report, "macro_f1")},
             {"hit_rate", number(report, "hit_rate")}};
    const auto bootstrap = report.find("bootstrap");
    const bool has = bootstrap != report.end();
    row["auroc_q05"] = has ? number(*bootstrap, "q05") : Json();
    row["auroc_q95"] = has ? number(*bootstrap, "q95") : Json();
    return row;
  } catch (const nlohmann::json::exception&) {
    throw InputError(path.string() +
                     " is not a run's test report: a field is missing or of another type");
  }
}

std::string fixed(const Json& value) {
  if (value.is_null()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value.get<double>());
  return text;
}

void compare(const Options& options) {
  std::vector<Json> rows;
  for (const std::filesystem::path& run : options.runs) rows.push_back(summary(run));
  if (options.json) {
    std::cout << Json(rows).dump() << '\n';
    return;
  }
  std::vector<std::vector<std::string>> table{{"run", "model", "inputs", "task", "epoch", "records",
                                               "AUROC", "5 % to 95 %", "AUPRC", "F1", "hit rate"}};
  for (const Json& row : rows) {
    table.push_back(
        {row["run"], row["model"], join(row["inputs"].get<std::vector<std::string>>(), " + "),
         row["task"], row["epoch"].dump(), row["records"].dump(), fixed(row["macro_auroc"]),
         row["auroc_q05"].is_null() ? "-"
                                    : fixed(row["auroc_q05"]) + " to " + fixed(row["auroc_q95"]),
         fixed(row["macro_auprc"]), fixed(row["macro_f1"]), fixed(row["hit_rate"])});
  }
  std::cout << (options.markdown ? markdown_table(table) : aligned_table(table));
}

}  // namespace

void add_compare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("compare", "The test figures of several runs in one table");
  verb->add_option("runs", options->runs, "Folders of finished runs")->required();
  CLI::Option* markdown = verb->add_flag("--markdown", options->markdown, "As a Markdown table");
  verb->add_flag("--json", options->json, "As one JSON array and nothing else")->excludes(markdown);
  verb->callback([options] { compare(*options); });
}

}  // namespace cardiograd
