#include "trainer/run_pictures.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/npy.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/input_file.h"
#include "nn/strict_json.h"
#include "trainer/bootstrap.h"
#include "trainer/history.h"
#include "trainer/plots.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t most_report_bytes = 1 << 20;

// The test folds' predictions.
struct TestResult {
  std::string title;
  std::vector<std::string> classes;
  NpyArray targets;
  NpyArray scores;

  Predictions predictions() const {
    return {targets.shape[0], classes, targets.values, scores.values};
  }
};

NpyArray read_matrix(const fs::path& path, std::size_t classes) {
  NpyArray array = read_npy(path);
  if (array.shape.size() != 2 || array.shape[1] != static_cast<std::int64_t>(classes)) {
    throw InputError(path.string() + " has shape " + array.shape_text() + ", where the " +
                     std::to_string(classes) + " classes of test.json are expected as columns");
  }
  return array;
}

TestResult read_test_result(const fs::path& run) {
  const fs::path path = run / "test.json";
  const json report = parse_strict_json(read_text(path, most_report_bytes), path.string(), 4);
  TestResult result;
  try {
    result.title = report.at("model").get<std::string>() + " on " +
                   report.at("task").get<std::string>() + ", test folds";
    for (const json& one : report.at("classes")) {
      result.classes.push_back(one.at("name").get<std::string>());
    }
  } catch (const json::exception&) {
    throw InputError(path.string() +
                     " is not a run's report: a field is missing or of another type");
  }
  result.targets = read_matrix(run / "test_targets.npy", result.classes.size());
  result.scores = read_matrix(run / "test_predictions.npy", result.classes.size());
  if (result.targets.shape != result.scores.shape) {
    throw InputError(run.string() + ": test_targets.npy has shape " + result.targets.shape_text() +
                     ", but test_predictions.npy has shape " + result.scores.shape_text());
  }
  return result;
}

struct Source {
  fs::path path;
  TrainingHistory history;
  std::optional<TestResult> test;

  bool has_auroc() const { return !history.curves.validation_auroc.empty(); }
};

Source open_source(const fs::path& path) {
  if (!fs::exists(path)) {
    throw InputError(path.string() +
                     " does not exist; a run's folder, a metrics.jsonl or a metrics.pt is wanted");
  }
  if (!fs::is_directory(path)) return {path, read_history(path), {}};
  if (!fs::exists(path / "metrics.jsonl")) {
    throw InputError(path.string() + " has no metrics.jsonl: it is not the folder of a run");
  }
  Source source{path, read_history(path / "metrics.jsonl"), {}};
  if (fs::exists(path / "test.json")) source.test = read_test_result(path);
  return source;
}

enum class Needs { losses, epochs, predictions };

struct Kind {
  PictureKind shown;
  Needs needs;
  void (*draw)(const fs::path&, const Source&);
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> table{
      {{"training", "losses over steps, and AUROC over epochs beneath"},
       Needs::epochs,
       [](const fs::path& out, const Source& s) {
         plot_training(out, s.history.title, s.history.curves);
       }},
      {{"loss", "training and validation loss over steps"},
       Needs::losses,
       [](const fs::path& out, const Source& s) {
         plot_loss(out, "Loss: " + s.history.title, s.history.curves);
       }},
      {{"auroc", "macro AUROC of the validation folds over epochs"},
       Needs::epochs,
       [](const fs::path& out, const Source& s) {
         plot_auroc(out, "AUROC: " + s.history.title, s.history.curves);
       }},
      {{"roc", "ROC of each class on the test folds, with AUROC"},
       Needs::predictions,
       [](const fs::path& out, const Source& s) {
         plot_roc(out, "ROC: " + s.test->title, s.test->predictions());
       }},
      {{"pr", "precision and recall of each class, with average precision"},
       Needs::predictions,
       [](const fs::path& out, const Source& s) {
         plot_precision_recall(out, "Precision and recall: " + s.test->title,
                               s.test->predictions());
       }},
      {{"calibration", "observed frequency against probability, with counts, ECE and Brier score"},
       Needs::predictions,
       [](const fs::path& out, const Source& s) {
         plot_calibration(out, "Calibration: " + s.test->title, s.test->predictions());
       }},
      {{"confusion", "true and false positives and negatives of each class at 0.5"},
       Needs::predictions,
       [](const fs::path& out, const Source& s) {
         plot_confusion(out, "Confusion: " + s.test->title, s.test->predictions());
       }},
      {{"classes", "AUROC of each class with its bootstrap interval"},
       Needs::predictions,
       [](const fs::path& out, const Source& s) {
         plot_class_auroc(out, "AUROC by class: " + s.test->title,
                          evaluate_with_intervals(s.test->predictions()));
       }},
  };
  return table;
}

// "" or why the source cannot give the kind.
std::string lacks(const Source& source, const Kind& kind) {
  const std::string wanted = ", so there is no picture of kind " + kind.shown.name;
  if (kind.needs == Needs::epochs && !source.has_auroc()) {
    return source.path.string() + " holds no AUROC of a finished epoch" + wanted;
  }
  if (kind.needs == Needs::predictions && !source.test) {
    return fs::is_directory(source.path)
               ? source.path.string() + " has no test.json: the run did not finish" + wanted
               : source.path.string() + " holds no predictions" + wanted +
                     "; name the run's folder instead";
  }
  return "";
}

fs::path beside(const fs::path& out, const std::string& kind) {
  fs::path named = out;
  return named.replace_filename(out.stem().string() + "-" + kind + out.extension().string());
}

}  // namespace

const std::vector<PictureKind>& picture_kinds() {
  static const std::vector<PictureKind> shown = [] {
    std::vector<PictureKind> list;
    for (const Kind& kind : kinds()) list.push_back(kind.shown);
    return list;
  }();
  return shown;
}

std::vector<fs::path> draw_run(const fs::path& source_path, const fs::path& out,
                               const std::string& kind) {
  const Source source = open_source(source_path);
  std::vector<fs::path> written;
  if (kind == "all") {
    for (const Kind& one : kinds()) {
      if (!lacks(source, one).empty()) continue;
      written.push_back(beside(out, one.shown.name));
      one.draw(written.back(), source);
    }
    return written;
  }
  const std::string wanted = !kind.empty() ? kind : source.has_auroc() ? "training" : "loss";
  const auto found = std::find_if(kinds().begin(), kinds().end(),
                                  [&](const Kind& one) { return one.shown.name == wanted; });
  if (found == kinds().end()) {
    std::vector<std::string> names{"all"};
    for (const Kind& one : kinds()) names.push_back(one.shown.name);
    throw InputError("there is no picture of kind " + quote(wanted) + suggestion(wanted, names));
  }
  if (const std::string problem = lacks(source, *found); !problem.empty()) {
    throw InputError(problem);
  }
  found->draw(out, source);
  return {out};
}

}  // namespace cardiograd
