#include "trainer/metrics_report.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "nn/utf8.h"
#include "trainer/metrics.h"
#include "trainer/text_table.h"

namespace cardiograd {
namespace {

using Json = nlohmann::ordered_json;

Json number(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json class_json(const ClassMetrics& one, bool with_interval) {
  Json json{{"name", valid_utf8(one.name)}, {"auroc", number(one.auroc)},
            {"auprc", number(one.auprc)},   {"f1", number(one.f1)},
            {"positives", one.positives},   {"negatives", one.negatives}};
  if (with_interval) {
    const auto& interval = one.auroc_interval;
    json["auroc_q05"] = number(interval ? std::optional(interval->q05) : std::nullopt);
    json["auroc_q95"] = number(interval ? std::optional(interval->q95) : std::nullopt);
  }
  return json;
}

std::string fixed(const std::optional<double>& value) {
  if (!value) return "-";
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.4f", *value);
  return text.data();
}

std::string range(const std::optional<Interval>& interval) {
  return interval ? fixed(interval->q05) + " to " + fixed(interval->q95) : "-";
}

using Row = std::vector<std::string>;

std::string class_table(const Metrics& metrics) {
  const bool with_interval = metrics.bootstrap.has_value();
  std::vector<Row> rows{{"class", "AUROC", "AUPRC", "F1", "positives", "negatives"}};
  if (with_interval) rows[0].insert(rows[0].begin() + 2, "5 % to 95 %");
  for (const ClassMetrics& one : metrics.classes) {
    Row row{valid_utf8(one.name),
            fixed(one.auroc),
            fixed(one.auprc),
            fixed(one.f1),
            std::to_string(one.positives),
            std::to_string(one.negatives)};
    if (with_interval) row.insert(row.begin() + 2, range(one.auroc_interval));
    rows.push_back(std::move(row));
  }
  return aligned_table(rows);
}

}  // namespace

Json to_json(const Metrics& metrics) {
  Json json{{"macro_auroc", number(metrics.macro_auroc)},
            {"macro_auprc", number(metrics.macro_auprc)},
            {"macro_f1", number(metrics.macro_f1)},
            {"hit_rate", metrics.hit_rate},
            {"records", metrics.records},
            {"classes", Json::array()},
            {"undefined", Json::array()}};
  for (const ClassMetrics& one : metrics.classes) {
    json["classes"].push_back(class_json(one, metrics.bootstrap.has_value()));
  }
  for (const std::string& name : metrics.undefined) json["undefined"].push_back(valid_utf8(name));
  if (metrics.bootstrap) {
    const Interval& interval = metrics.bootstrap->macro_auroc;
    json["bootstrap"] = {{"mean", interval.mean},
                         {"q05", interval.q05},
                         {"q95", interval.q95},
                         {"resamples", metrics.bootstrap->resamples}};
  }
  return json;
}

std::string to_table(const Metrics& metrics) {
  std::vector<Row> summary{{"records", std::to_string(metrics.records)},
                           {"classes", std::to_string(metrics.classes.size())},
                           {"macro AUROC", fixed(metrics.macro_auroc)},
                           {"macro AUPRC", fixed(metrics.macro_auprc)},
                           {"macro F1", fixed(metrics.macro_f1)},
                           {"hit rate", fixed(metrics.hit_rate)}};
  std::string text = aligned_table(summary);
  if (metrics.bootstrap) {
    const Bootstrap& bootstrap = *metrics.bootstrap;
    text += "macro AUROC over " + std::to_string(bootstrap.resamples) + " resamples: mean " +
            fixed(bootstrap.macro_auroc.mean) + ", 5 % to 95 %: " + range(bootstrap.macro_auroc) +
            "\n";
  }
  text += '\n';
  text += class_table(metrics);
  if (!metrics.undefined.empty()) {
    text += "\nleft out of the macro means (one kind of label):";
    for (std::size_t i = 0; i < metrics.undefined.size(); ++i) {
      text += i ? ", " : " ";
      text += valid_utf8(metrics.undefined[i]);
    }
    text += "\n";
  }
  return text;
}

}  // namespace cardiograd
