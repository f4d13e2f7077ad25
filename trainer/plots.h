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

struct TrainingCurves {
  std::vector<double> train_loss;        // one a step
  std::int64_t steps_per_epoch = 1;      // at least 1
  std::vector<double> validation_loss;   // one a finished epoch
  std::vector<double> validation_auroc;  // macro AUROC, likewise; NaN where undefined
};

// Upper panel: training loss of each step and its moving average, validation loss of each epoch,
// its lowest marked. Lower panel: validation macro AUROC of each epoch, its highest marked.
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
// throw InputError.
void plot_calibration(const std::filesystem::path& path, std::string_view title,
                      const Predictions& predictions);

// A bar a class, the best on top, with the bootstrap's 5 % to 95 % interval where there is one.
void plot_class_auroc(const std::filesystem::path& path, std::string_view title,
                      const Metrics& metrics);

}  // namespace cardiograd
