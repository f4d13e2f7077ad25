// Records of the test folds that a model was surest about, rightly and wrongly, drawn as ECGs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "trainer/session.h"

namespace cardiograd {

struct RunExample {
  std::int64_t ecg_id = 0;
  bool right = false;     // the likeliest class is one of the record's
  std::string truth;      // "MI, NORM"
  std::string predicted;  // "MI 0.93, CD 0.41": the likeliest classes first
  std::string report;     // as the data set has it; may be empty
  std::filesystem::path picture;
};

// `each` of the right ones and of the wrong ones (or as many as there are), by falling probability
// of the likeliest class, right ones first. `examples`: those that `outcome` is about, in its
// order. Draws RUN/examples/ECG_ID.png; throws the errors of trainer/gnuplot.h.
std::vector<RunExample> draw_examples(const std::filesystem::path& run, const Session& session,
                                      std::span<const std::int32_t> examples,
                                      const Outcome& outcome, std::size_t each = 3);

}  // namespace cardiograd
