#include "trainer/profile_report.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "trainer/text_table.h"

namespace cardiograd {

namespace {

using Row = std::vector<std::string>;

constexpr double least_share = 1e-3;  // of a step, for a row of its own

std::string number(const char* pattern, double value) {
  char text[48];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

std::string or_dash(std::string_view text) { return text.empty() ? "-" : std::string(text); }

double share_of(const ProfileReport& report, double microseconds) {
  return report.step_microseconds > 0.0 ? microseconds / report.step_microseconds : 0.0;
}

// The last three cells.
Row cells(const ProfileReport& report, Row row, std::string calls, double microseconds) {
  row.push_back(std::move(calls));
  row.push_back(number("%.3f", microseconds / 1e3));
  row.push_back(number("%.1f", 100.0 * share_of(report, microseconds)));
  return row;
}

std::string sentence(const ProfileReport& report) {
  const std::string steps = std::to_string(report.steps);
  const std::string first = std::to_string(report.skipped);
  if (report.steps == 0) {
    return "No step was timed: the run had " + first + (report.skipped == 1 ? " step" : " steps") +
           ", and the first " + std::to_string(Profile::first_steps) + " are not counted.\n";
  }
  return "Where the time of a training step goes, the mean of " + steps + " behind the first " +
         first + ":\n";
}

}  // namespace

std::string profile_table(const ProfileReport& report) {
  if (report.steps == 0) return sentence(report);
  std::vector<Row> rows{{"layer", "operation", "pass", "calls", "ms", "%"}};
  std::size_t small = 0;
  double small_calls = 0.0, small_microseconds = 0.0;
  for (const ProfileRow& row : report.rows) {
    if (share_of(report, row.microseconds) < least_share) {
      ++small;
      small_calls += row.calls;
      small_microseconds += row.microseconds;
      continue;
    }
    rows.push_back(cells(report, {or_dash(row.layer), row.operation, or_dash(name_of(row.pass))},
                         number("%.4g", row.calls), row.microseconds));
  }
  if (small > 0) {
    rows.push_back(cells(report, {"-", std::to_string(small) + " below 0.1 % each", "-"},
                         number("%.4g", small_calls), small_microseconds));
  }
  rows.push_back(
      cells(report, {"-", "between operations", "-"}, "-", report.between_microseconds()));
  rows.push_back(cells(report, {"-", "the step", "-"}, "-", report.step_microseconds));
  return sentence(report) + aligned_table(rows, 3);
}

nlohmann::ordered_json profile_json(const ProfileReport& report) {
  nlohmann::ordered_json operations = nlohmann::ordered_json::array();
  for (const ProfileRow& row : report.rows) {
    operations.push_back({{"layer", row.layer},
                          {"operation", row.operation},
                          {"pass", name_of(row.pass)},
                          {"calls", row.calls},
                          {"microseconds", row.microseconds},
                          {"share", share_of(report, row.microseconds)}});
  }
  return {{"steps", report.steps},
          {"skipped_steps", report.skipped},
          {"step_microseconds", report.step_microseconds},
          {"between_microseconds", report.steps > 0 ? report.between_microseconds() : 0.0},
          {"operations", operations}};
}

}  // namespace cardiograd
