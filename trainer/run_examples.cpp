#include "trainer/run_examples.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "data/wfdb.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/utf8.h"
#include "trainer/ecg_plot.h"

namespace cardiograd {
namespace {

constexpr std::size_t shown_classes = 3;
constexpr double page_dpi = 110.0;

std::vector<float> millivolts_of(const PackedDataset& dataset, std::int64_t record) {
  const std::span<const std::int16_t> samples = dataset.signal(record);
  std::vector<float> millivolts;
  millivolts.reserve(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const bool missing = samples[i] == missing_sample;
    millivolts.push_back(missing ? std::nanf("")
                                 : static_cast<float>(samples[i]) /
                                       dataset.adc_gain()[i % std::size_t{packed_leads}]);
  }
  return millivolts;
}

// One record's row of an outcome.
struct Row {
  std::span<const double> targets;
  std::span<const double> scores;

  std::size_t likeliest() const {
    return static_cast<std::size_t>(std::max_element(scores.begin(), scores.end()) -
                                    scores.begin());
  }
  bool right() const { return targets[likeliest()] > 0.5; }
};

Row row_of(const Outcome& outcome, std::size_t index, std::size_t classes) {
  return {std::span(outcome.targets).subspan(index * classes, classes),
          std::span(outcome.scores).subspan(index * classes, classes)};
}

std::string truth_of(const Row& row, const std::vector<std::string>& classes) {
  std::vector<std::string> names;
  for (std::size_t c = 0; c < classes.size(); ++c) {
    if (row.targets[c] > 0.5) names.push_back(classes[c]);
  }
  return join(names);
}

std::string prediction_of(const Row& row, const std::vector<std::string>& classes) {
  std::vector<std::string> parts;
  for (const std::int32_t c : falling_order(row.scores)) {
    if (parts.size() == shown_classes) break;
    std::array<char, 32> number{};
    std::snprintf(number.data(), number.size(), " %.2f", row.scores[static_cast<std::size_t>(c)]);
    parts.push_back(classes[static_cast<std::size_t>(c)] + number.data());
  }
  return join(parts);
}

}  // namespace

std::vector<RunExample> draw_examples(const std::filesystem::path& run, const Session& session,
                                      std::span<const std::int32_t> examples,
                                      const Outcome& outcome, std::size_t each) {
  const std::vector<std::string>& classes = session.task.classes;
  CG_CHECK(outcome.scores.size() == examples.size() * classes.size(),
           "an outcome has a row for each of its examples");
  std::vector<double> surest;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const Row row = row_of(outcome, i, classes.size());
    surest.push_back(row.scores[row.likeliest()]);
  }
  const std::vector<std::int32_t> records = session.source->records_of(examples);
  const std::filesystem::path folder = run / "examples";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw InputError(folder.string() + " cannot be made: " + error.message());
  std::vector<RunExample> chosen;
  for (const bool right : {true, false}) {
    std::size_t taken = 0;
    for (const std::int32_t index : falling_order(surest)) {
      const auto i = static_cast<std::size_t>(index);
      const Row row = row_of(outcome, i, classes.size());
      if (row.right() != right) continue;
      if (taken++ == each) break;
      const auto record = static_cast<std::size_t>(records[i]);
      RunExample example{session.dataset->ecg_id()[record],
                         right,
                         truth_of(row, classes),
                         prediction_of(row, classes),
                         valid_utf8(session.dataset->report(records[i])),
                         {}};
      const std::string id = std::to_string(example.ecg_id);
      example.picture = folder / (id + ".png");
      plot_ecg(example.picture,
               {millivolts_of(*session.dataset, records[i]),
                static_cast<double>(session.dataset->rate()), "ecg_id " + id,
                "true: " + example.truth + "; predicted: " + example.predicted},
               EcgLayout::three_by_four, page_dpi);
      chosen.push_back(std::move(example));
    }
  }
  return chosen;
}

}  // namespace cardiograd
