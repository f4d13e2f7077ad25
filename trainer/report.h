// What a run leaves for readers: test.json, the test folds' predictions, pictures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/metrics.h"
#include "trainer/plots.h"
#include "trainer/session.h"

namespace cardiograd {

// test.json (metrics_report.h's keys and loss, epoch, task, model, data, folds), test_targets.npy
// and test_predictions.npy, which cardiograd score reads.
void write_test_report(const std::filesystem::path& folder, const RunConfig& config,
                       const Session& session, const Outcome& outcome, const Metrics& metrics,
                       std::int64_t epoch);

// training.png, roc.png, precision_recall.png, calibration.png, confusion.png, class_auroc.png. A
// run does not fail for its pictures: returns a sentence for each that could not be drawn, one for
// all of them where gnuplot is missing.
std::vector<std::string> draw_pictures(const std::filesystem::path& folder, const RunConfig& config,
                                       const Session& session, const Outcome& outcome,
                                       const Metrics& metrics, const TrainingCurves& curves);

}  // namespace cardiograd
