#include "trainer/report.h"

#include <array>
#include <functional>
#include <nlohmann/json.hpp>

#include "data/npy.h"
#include "nn/atomic_file.h"
#include "trainer/metrics_report.h"

namespace cardiograd {

void write_test_report(const std::filesystem::path& folder, const RunConfig& config,
                       const Session& session, const Outcome& outcome, const Metrics& metrics,
                       std::int64_t epoch) {
  nlohmann::ordered_json report = to_json(metrics);
  report["loss"] = outcome.loss;
  report["epoch"] = epoch;
  report["model"] = config.model.name;
  report["inputs"] = config.data.inputs;
  report["task"] = config.data.task;
  report["data"] = config.data.path;
  report["folds"] = config.data.test_folds;
  write_file(folder / "test.json", report.dump(1) + "\n");
  const std::array<std::int64_t, 2> shape{metrics.records, session.source->classes()};
  write_npy(folder / "test_targets.npy", shape, outcome.targets);
  write_npy(folder / "test_predictions.npy", shape, outcome.scores);
}

std::vector<std::string> draw_pictures(const std::filesystem::path& folder, const RunConfig& config,
                                       const Session& session, const Outcome& outcome,
                                       const Metrics& metrics, const TrainingCurves& curves) {
  const std::string run = config.model.name + " on " + config.data.task;
  const Predictions predictions = outcome.predictions(session.task);
  const std::vector<std::function<void()>> pictures{
      [&] { plot_training(folder / "training.png", run, curves); },
      [&] { plot_roc(folder / "roc.png", "ROC, test folds: " + run, predictions); },
      [&] {
        plot_precision_recall(folder / "precision_recall.png",
                              "Precision and recall, test folds: " + run, predictions);
      },
      [&] {
        plot_calibration(folder / "calibration.png", "Calibration, test folds: " + run,
                         predictions);
      },
      [&] {
        plot_confusion(folder / "confusion.png", "Confusion, test folds: " + run, predictions);
      },
      [&] {
        plot_class_auroc(folder / "class_auroc.png", "AUROC by class, test folds: " + run, metrics);
      }};
  std::vector<std::string> problems;
  for (const auto& draw : pictures) {
    try {
      draw();
    } catch (const DeviceError& error) {
      return {std::string("no pictures: ") + error.what()};
    } catch (const Error& error) {
      problems.push_back(std::string("a picture is left out: ") + error.what());
    }
  }
  return problems;
}

}  // namespace cardiograd
