#include "trainer/seeds.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/atomic_file.h"
#include "nn/input_file.h"
#include "nn/strict_json.h"
#include "nn/utf8.h"
#include "trainer/signals.h"
#include "trainer/text_table.h"

namespace cardiograd {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

constexpr std::size_t most_seeds = 1000;
constexpr std::int64_t largest_seed = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t most_report_bytes = 1 << 24;
constexpr int deepest_report = 4;

// -- The list.

[[noreturn]] void fail_list(const std::string& text, const std::string& problem) {
  throw InputError(quote(text) + ": " + problem);
}

std::int64_t parse_seed(const std::string& text, std::string_view word) {
  std::int64_t seed = 0;
  if (!parse_number(word, seed) || seed < 0) {
    fail_list(text, quote(word) +
                        " is no seed: name them like 0,1,2 or as a range like 0-4, without spaces");
  }
  if (seed > largest_seed) {
    fail_list(text,
              quote(word) + " is too large: a seed is at most " + std::to_string(largest_seed));
  }
  return seed;
}

void add_seeds(const std::string& text, std::string_view word, std::vector<std::int64_t>& seeds) {
  const std::size_t dash = word.find('-', 1);
  const std::int64_t first = parse_seed(text, word.substr(0, dash));
  const std::int64_t last =
      dash == std::string_view::npos ? first : parse_seed(text, word.substr(dash + 1));
  if (last < first) {
    fail_list(text, "the range " + quote(word) + " runs backwards: the smaller seed comes first");
  }
  for (std::int64_t seed = first; seed <= last; ++seed) {
    if (std::find(seeds.begin(), seeds.end(), seed) != seeds.end()) {
      fail_list(text, "seed " + std::to_string(seed) + " stands there twice");
    }
    if (seeds.size() == most_seeds) {
      fail_list(text, "more than " + std::to_string(most_seeds) + " seeds");
    }
    seeds.push_back(seed);
  }
}

// -- The folder.

bool holds_seeds(const fs::path& run) {
  const fs::directory_iterator entries(run);
  return std::any_of(begin(entries), end(entries), [](const fs::directory_entry& entry) {
    return entry.path().filename().string().starts_with("seed-") && entry.is_directory();
  });
}

void check_folder(const fs::path& run, Start start) {
  if (!fs::exists(run)) return;
  if (!fs::is_directory(run)) {
    throw InputError("run.dir " + run.string() + " is no folder: choose another name");
  }
  if (fs::is_empty(run)) return;
  const bool seeds = holds_seeds(run);
  if (start == Start::anew) {
    throw InputError("run.dir " + run.string() +
                     " exists already: choose another folder, or move the old runs away" +
                     (seeds ? ", or go on with them by --resume" : ""));
  }
  if (!seeds) {
    throw InputError("run.dir " + run.string() +
                     " holds something, but no runs of seeds to resume: choose another folder");
  }
}

// -- Figures.

std::optional<double> number_or_null(const nlohmann::json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

SeedFigures read_figures(const fs::path& folder, std::int64_t seed) {
  const fs::path path = folder / "test.json";
  const nlohmann::json report =
      parse_strict_json(read_text(path, most_report_bytes), path.string(), deepest_report);
  SeedFigures figures{.seed = seed};
  try {
    figures.epoch = report.at("epoch").get<std::int64_t>();
    figures.macro_auroc = number_or_null(report.at("macro_auroc"));
    figures.macro_auprc = number_or_null(report.at("macro_auprc"));
    figures.macro_f1 = number_or_null(report.at("macro_f1"));
    figures.hit_rate = report.at("hit_rate").get<double>();
    for (const nlohmann::json& one : report.at("classes")) {
      figures.class_auroc.emplace_back(one.at("name").get<std::string>(),
                                       number_or_null(one.at("auroc")));
    }
  } catch (const nlohmann::json::exception&) {
    throw InputError(path.string() + " is not what trainer fit wrote: remove " + folder.string() +
                     " and train this seed again");
  }
  return figures;
}

// One figure of all seeds.
struct Series {
  std::string key;  // of seeds.json; empty for a class
  std::string title;
  std::vector<std::optional<double>> values;
};

std::vector<Series> series_of(const std::vector<SeedFigures>& figures) {
  std::vector<Series> all{{"macro_auroc", "macro AUROC", {}},
                          {"macro_auprc", "macro AUPRC", {}},
                          {"macro_f1", "macro F1", {}},
                          {"hit_rate", "hit rate", {}}};
  for (const auto& [name, auroc] : figures.front().class_auroc) {
    all.push_back({"", valid_utf8(name), {}});
  }
  for (const SeedFigures& one : figures) {
    std::vector<std::optional<double>> values{one.macro_auroc, one.macro_auprc, one.macro_f1,
                                              one.hit_rate};
    for (const auto& [name, auroc] : one.class_auroc) values.push_back(auroc);
    for (std::size_t i = 0; i < all.size(); ++i) all[i].values.push_back(values[i]);
  }
  return all;
}

void check_alike(const std::vector<SeedFigures>& figures, const fs::path& run) {
  const auto same_name = [](const auto& a, const auto& b) { return a.first == b.first; };
  const auto& first = figures.front().class_auroc;
  for (const SeedFigures& one : figures) {
    if (std::equal(first.begin(), first.end(), one.class_auroc.begin(), one.class_auroc.end(),
                   same_name)) {
      continue;
    }
    throw InputError(seed_folder(run, one.seed).string() + " was tested on other classes than " +
                     seed_folder(run, figures.front().seed).string() +
                     ": these runs cannot be averaged");
  }
}

std::string fixed(const std::optional<double>& value) {
  if (!value) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", *value);
  return text;
}

std::string describe(const Spread& spread, std::size_t seeds) {
  if (!spread.mean) return "-";
  std::string text = fixed(spread.mean);
  if (spread.sd) text += " ± " + fixed(spread.sd);
  if (static_cast<std::size_t>(spread.count) < seeds) {
    text += " (" + std::to_string(spread.count) + " of " + std::to_string(seeds) + ")";
  }
  return text;
}

std::vector<Row> table_rows(const std::vector<SeedFigures>& figures) {
  std::vector<Row> rows{{"test folds", "mean ± sd"}};
  for (const SeedFigures& one : figures) rows[0].push_back("seed " + std::to_string(one.seed));
  for (const Series& series : series_of(figures)) {
    Row row{series.key.empty() ? "AUROC " + series.title : series.title,
            describe(spread_of(series.values), figures.size())};
    for (const std::optional<double>& value : series.values) row.push_back(fixed(value));
    rows.push_back(std::move(row));
  }
  Row epochs{"best epoch", ""};
  for (const SeedFigures& one : figures) epochs.push_back(std::to_string(one.epoch));
  rows.push_back(std::move(epochs));
  return rows;
}

Json to_json(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json to_json(const Spread& spread) {
  return {{"mean", to_json(spread.mean)}, {"sd", to_json(spread.sd)}, {"seeds", spread.count}};
}

void write_reports(const RunConfig& config, const std::vector<SeedFigures>& figures) {
  const fs::path run = config.run.dir;
  write_file(run / "seeds.json", seeds_json(figures).dump(1) + "\n");
  write_file(run / "seeds.md",
             "# " + config.model.name + " on " + config.data.task + ", " +
                 std::to_string(figures.size()) + (figures.size() == 1 ? " seed" : " seeds") +
                 "\n\nTest folds, the best epoch of each run. sd: sample standard deviation over "
                 "seeds (n - 1).\n\n" +
                 markdown_table(table_rows(figures)));
}

}  // namespace

std::vector<std::int64_t> parse_seeds(const std::string& text) {
  std::vector<std::int64_t> seeds;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    add_seeds(text, std::string_view(text).substr(at, end - at), seeds);
    at = end + 1;
  }
  return seeds;
}

Spread spread_of(const std::vector<std::optional<double>>& values) {
  Spread spread;
  double sum = 0.0, squares = 0.0;
  for (const std::optional<double>& value : values) {
    if (!value) continue;
    ++spread.count;
    sum += *value;
  }
  if (spread.count == 0) return spread;
  const double mean = sum / static_cast<double>(spread.count);
  spread.mean = mean;
  if (spread.count == 1) return spread;
  for (const std::optional<double>& value : values) {
    if (value) squares += (*value - mean) * (*value - mean);
  }
  spread.sd = std::sqrt(squares / static_cast<double>(spread.count - 1));
  return spread;
}

fs::path seed_folder(const fs::path& run, std::int64_t seed) {
  return run / ("seed-" + std::to_string(seed));
}

std::vector<SeedFigures> fit_seeds(const RunConfig& config, const std::vector<std::int64_t>& seeds,
                                   Start start,
                                   const std::function<void(const RunConfig&)>& fit_one,
                                   const std::function<void(const std::string&)>& say) {
  const SignalScope signals;  // a signal between two runs stops the second
  check_folder(config.run.dir, start);
  std::vector<SeedFigures> figures;
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    const std::string name = "seed " + std::to_string(seeds[i]);
    RunConfig one = config;
    one.train.seed = seeds[i];
    one.run.dir = seed_folder(config.run.dir, seeds[i]).string();
    say(name + " (" + std::to_string(i + 1) + " of " + std::to_string(seeds.size()) + "), in " +
        one.run.dir);
    try {
      fit_one(one);
      figures.push_back(read_figures(one.run.dir, seeds[i]));
    } catch (const Interrupted& stop) {
      throw Interrupted(name + ": " + stop.what());
    } catch (const std::exception& error) {
      throw Error(name + ": " + error.what());
    }
  }
  check_alike(figures, config.run.dir);
  write_reports(config, figures);
  return figures;
}

Json seeds_json(const std::vector<SeedFigures>& figures) {
  Json json{{"seeds", Json::array()}, {"summary", Json::object()}};
  for (const SeedFigures& one : figures) {
    Json entry{{"seed", one.seed},
               {"epoch", one.epoch},
               {"macro_auroc", to_json(one.macro_auroc)},
               {"macro_auprc", to_json(one.macro_auprc)},
               {"macro_f1", to_json(one.macro_f1)},
               {"hit_rate", one.hit_rate},
               {"classes", Json::array()}};
    for (const auto& [name, auroc] : one.class_auroc) {
      entry["classes"].push_back({{"name", valid_utf8(name)}, {"auroc", to_json(auroc)}});
    }
    json["seeds"].push_back(std::move(entry));
  }
  Json& summary = json["summary"];
  Json classes = Json::array();
  for (const Series& series : series_of(figures)) {
    Json spread = to_json(spread_of(series.values));
    if (series.key.empty()) {
      classes.push_back({{"name", series.title}, {"auroc", std::move(spread)}});
    } else {
      summary[series.key] = std::move(spread);
    }
  }
  summary["classes"] = std::move(classes);
  return json;
}

std::string seeds_table(const std::vector<SeedFigures>& figures) {
  return aligned_table(table_rows(figures));
}

}  // namespace cardiograd
