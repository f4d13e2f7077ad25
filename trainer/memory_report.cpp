#include "trainer/memory_report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "trainer/text_table.h"

namespace cardiograd {

namespace {

constexpr double least_share = 5e-3;  // for a row of its own

std::string number(const char* pattern, double value) {
  char text[48];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

std::string megabytes(std::size_t bytes) {
  return number("%.2f", static_cast<double>(bytes) / 1e6);
}

std::size_t sum_of(const MemoryReport::Rows& rows) {
  return std::accumulate(rows.begin(), rows.end(), std::size_t{0},
                         [](std::size_t sum, const auto& row) { return sum + row.second; });
}

}  // namespace

std::string memory_table(const MemoryReport& report) {
  if (report.step.empty()) {
    return "No step's memory was traced: the run had fewer than two full batches.\n";
  }
  MemoryReport::Rows all = report.standing;
  all.insert(all.end(), report.step.begin(), report.step.end());
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  const std::size_t total = sum_of(all);
  std::vector<std::vector<std::string>> rows{{"owner", "MB", "%"}};
  const auto add = [&](const std::string& owner, std::size_t bytes) {
    const double share = static_cast<double>(bytes) / static_cast<double>(total);
    rows.push_back({owner, megabytes(bytes), number("%.1f", 100.0 * share)});
  };
  MemoryReport::Rows small;
  for (const auto& row : all) {
    if (static_cast<double>(row.second) < least_share * static_cast<double>(total)) {
      small.push_back(row);
    } else {
      add(row.first, row.second);
    }
  }
  if (!small.empty()) add(std::to_string(small.size()) + " below 0.5 % each", sum_of(small));
  add("together", total);
  const std::string arena = report.arena == 0
                                ? ""
                                : "The step is replayed in an arena of " + megabytes(report.arena) +
                                      " MB for " + megabytes(report.step_peak) +
                                      " MB that are in use at once.\n";
  return "What a training step holds in memory when that is most, by layer and pass:\n" +
         aligned_table(rows) + arena;
}

nlohmann::ordered_json memory_json(const MemoryReport& report) {
  const auto json_of = [](const MemoryReport::Rows& rows) {
    nlohmann::ordered_json json = nlohmann::ordered_json::object();
    for (const auto& [owner, bytes] : rows) json[owner] = bytes;
    return json;
  };
  return {{"standing", json_of(report.standing)},
          {"step_at_peak", json_of(report.step)},
          {"step_peak_bytes", report.step_peak},
          {"arena_bytes", report.arena}};
}

}  // namespace cardiograd
