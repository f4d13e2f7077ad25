// The pictures of a run, drawn by gnuplot. Colours are Okabe and Ito's, which colour-blind readers
// can tell apart.
//
// For every function: the ending of `path` chooses PNG or SVG; `title` is the picture's first line;
// errors are those of trainer/gnuplot.h, so a caller that can do without pictures catches
// DeviceError ("install the package gnuplot-nox") and goes on. Names are shown as they are: nothing
// in them is understood as a command.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace cardiograd {

struct Metrics;
struct Predictions;

// What training left, in steps from 1. A file may hold a part of it.
struct TrainingCurves {
  std::vector<double> train_step;  // ascending; every step, or some
  std::vector<double> train_loss;
  std::vector<double> validation_step;  // after which each validation came
  std::vector<double> validation_loss;
  std::vector<double> validation_auroc;  // macro AUROC, one an epoch; NaN where undefined
};

// Training loss over steps with its moving average (of fewer than fifty: as points), validation
// loss, its lowest marked. Throws InputError where there is neither.
void plot_loss(const std::filesystem::path& path, std::string_view title,
               const TrainingCurves& curves);
// Validation macro AUROC of each epoch, its highest marked. Throws InputError where there is none.
void plot_auroc(const std::filesystem::path& path, std::string_view title,
                const TrainingCurves& curves);
// Both, one above the other; one finished epoch is needed.
void plot_training(const std::filesystem::path& path, std::string_view title,
                   const TrainingCurves& curves);

// Up to ten classes have a colour and their area in the legend each; more are thin grey lines. The
// macro mean (vertical average of the classes) is bold. Classes with one kind of label are left
// out, and how many that is stands in the legend.
void plot_roc(const std::filesystem::path& path, std::string_view title,
              const Predictions& predictions);
void plot_precision_recall(const std::filesystem::path& path, std::string_view title,
                           const Predictions& predictions);

// Observed frequency against predicted probability in ten bins, all classes pooled, with the single
// classes beside it (up to ten); below, how many predictions each bin holds. Scores outside [0, 1]
// throw InputError. The legend names the expected calibration error and the Brier score.
void plot_calibration(const std::filesystem::path& path, std::string_view title,
                      const Predictions& predictions);

// Each class called positive where its score is at least `threshold`: true and false positives,
// false and true negatives as a table; a cell's shade is its share of the positive or negative
// records. Sensitivity, specificity and precision stand beside it.
void plot_confusion(const std::filesystem::path& path, std::string_view title,
                    const Predictions& predictions, double threshold = 0.5);

// A bar a class, the best on top, with the bootstrap's 5 % to 95 % interval where there is one.
void plot_class_auroc(const std::filesystem::path& path, std::string_view title,
                      const Metrics& metrics);

}  // namespace cardiograd
