#include "trainer/plots.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/error.h"
#include "nn/utf8.h"
#include "trainer/curves.h"
#include "trainer/gnuplot.h"
#include "trainer/metrics.h"

namespace cardiograd {
namespace {

// Okabe & Ito 2008, without the yellow that is hard to see on white; black is the macro mean's.
constexpr std::array<const char*, 6> palette{"#0072B2", "#D55E00", "#009E73",
                                             "#CC79A7", "#E69F00", "#56B4E9"};
constexpr const char* blue = "#0072B2";
constexpr const char* vermilion = "#D55E00";
constexpr const char* green = "#009E73";
constexpr const char* light_blue = "#A9CCE3";
constexpr std::size_t most_coloured = 10;
constexpr std::size_t longest_name = 22;

constexpr const char* look = R"(
set border 3 lc rgb '#555555'
set tics nomirror out textcolor rgb '#333333'
set grid lt 1 lc rgb '#e2e2e2' lw 0.8
)";

using Columns = std::vector<const std::vector<double>*>;

std::string fixed3(double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f", value);
  return text.data();
}

// A named block of data inside the script; columns are of one length.
std::string data_block(const std::string& name, const Columns& columns) {
  std::string text = "$" + name + " << END\n";
  for (std::size_t row = 0; row < columns.front()->size(); ++row) {
    for (const auto* column : columns) text += gnuplot_number((*column)[row]) + ' ';
    text += '\n';
  }
  return text + "END\n";
}

// One colour and dash for each of up to ten classes.
std::string class_style(std::size_t index) {
  return std::string(" lw 1.8 dt ") + (index < palette.size() ? "1" : "'-'") + " lc rgb '" +
         palette[index % palette.size()] + "'";
}

// Points that are closer than a fraction of a pixel to the one before only make the file large.
Curve thinned(const Curve& curve) {
  constexpr double closest = 0.0005;
  Curve kept;
  for (std::size_t i = 0; i < curve.x.size(); ++i) {
    const bool far = kept.x.empty() || std::abs(curve.x[i] - kept.x.back()) > closest ||
                     std::abs(curve.y[i] - kept.y.back()) > closest;
    if (!far && i + 1 < curve.x.size()) continue;
    kept.x.push_back(curve.x[i]);
    kept.y.push_back(curve.y[i]);
  }
  return kept;
}

// ---- ROC and precision-recall ------------------------------------------------------------------

using CurveOf = Curve (*)(std::span<const double>, std::span<const double>);
using AreaOf = std::optional<double> (*)(std::span<const double>, std::span<const double>);

struct CurvePicture {
  const char* x_label;
  const char* y_label;
  const char* area;      // "AUROC"
  const char* baseline;  // a plot element, with its comma, or nothing
  CurveOf curve_of;
  AreaOf area_of;
};

struct ClassCurve {
  std::string name;
  Curve curve;
  double area = 0.0;
};

std::vector<ClassCurve> class_curves(const CurvePicture& picture, const Predictions& predictions) {
  std::vector<ClassCurve> curves;
  for (std::int64_t i = 0; i < predictions.classes(); ++i) {
    const auto targets = class_column(predictions.targets, predictions.classes(), i);
    const auto scores = class_column(predictions.scores, predictions.classes(), i);
    if (const auto area = picture.area_of(targets, scores)) {
      curves.push_back({predictions.class_names[static_cast<std::size_t>(i)],
                        picture.curve_of(targets, scores), *area});
    }
  }
  return curves;
}

std::string curve_elements(const CurvePicture& picture, const std::vector<ClassCurve>& curves,
                           std::int64_t classes, double mean_area) {
  const bool coloured = curves.size() <= most_coloured;
  std::string plot = "plot " + std::string(picture.baseline);
  for (std::size_t i = 0; i < curves.size(); ++i) {
    plot += "$class" + std::to_string(i) + " using 1:2 with lines";
    if (coloured) {
      plot +=
          class_style(i) + " title " +
          gnuplot_quote(shortened(curves[i].name, longest_name) + "  " + fixed3(curves[i].area));
    } else {
      plot += " lw 0.6 lc rgb '#b5b5b5' ";
      plot += i == 0 ? "title " + gnuplot_quote(std::to_string(curves.size()) + " classes")
                     : std::string("notitle");
    }
    plot += ", ";
  }
  plot += "$mean using 1:2 with lines lw 3 lc rgb '#000000' title " +
          gnuplot_quote("macro mean  " + fixed3(mean_area));
  const auto missing = classes - static_cast<std::int64_t>(curves.size());
  if (missing > 0) {
    plot += ", NaN with points pt -1 title " +
            gnuplot_quote(std::to_string(missing) + " without both labels");
  }
  return plot + "\n";
}

void plot_curves(const std::filesystem::path& path, std::string_view title,
                 const CurvePicture& picture, const Predictions& predictions) {
  predictions.check();
  const std::vector<ClassCurve> curves = class_curves(picture, predictions);
  if (curves.empty()) {
    throw InputError(path.string() + ": no class has both kinds of label, so there is no curve");
  }
  std::string script = look;
  std::vector<Curve> all;
  double area_sum = 0.0;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Curve thin = thinned(curves[i].curve);
    script += data_block("class" + std::to_string(i), {&thin.x, &thin.y});
    all.push_back(curves[i].curve);
    area_sum += curves[i].area;
  }
  const Curve mean = mean_curve(all);
  script += data_block("mean", {&mean.x, &mean.y});
  script += "set title " + gnuplot_quote(title) +
            "\n"
            "set xlabel " +
            gnuplot_quote(picture.x_label) + "\nset ylabel " + gnuplot_quote(picture.y_label) +
            "\nset xrange [0:1]\nset yrange [0:1.005]\nset xtics 0.2\nset ytics 0.2\n"
            "set size square\n"
            "set key outside right center vertical Left reverse samplen 2 spacing 1.25 title " +
            gnuplot_quote(picture.area) + " left\n";
  script += curve_elements(picture, curves, predictions.classes(),
                           area_sum / static_cast<double>(curves.size()));
  draw_with_gnuplot(path, {960, 680}, script);
}

// ---- Training ----------------------------------------------------------------------------------

// Mean over a window of `width` around each value; holes (NaN) are left out.
std::vector<double> moving_average(const std::vector<double>& values, std::size_t width) {
  std::vector<double> result(values.size());
  double sum = 0.0;
  std::size_t used = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
  const auto change = [&](std::size_t at, int sign) {
    if (!std::isfinite(values[at])) return;
    sum += sign * values[at];
    used += static_cast<std::size_t>(sign);
  };
  for (std::size_t i = 0; i < values.size(); ++i) {
    while (end < std::min(values.size(), i + width / 2 + 1)) change(end++, 1);
    while (begin + width / 2 < i) change(begin++, -1);
    result[i] =
        used > 0 ? sum / static_cast<double>(used) : std::numeric_limits<double>::quiet_NaN();
  }
  return result;
}

// Every k-th value, so that at most `most` remain.
std::vector<double> every_kth(const std::vector<double>& values, std::size_t k) {
  std::vector<double> kept;
  for (std::size_t i = 0; i < values.size(); i += k) kept.push_back(values[i]);
  return kept;
}

std::string step_block(const TrainingCurves& curves) {
  constexpr std::size_t most_points = 4000;
  const std::size_t steps = curves.train_loss.size();
  const std::size_t k = std::max<std::size_t>(1, (steps + most_points - 1) / most_points);
  std::vector<double> epochs(steps);
  for (std::size_t i = 0; i < steps; ++i) {
    epochs[i] = static_cast<double>(i + 1) / static_cast<double>(curves.steps_per_epoch);
  }
  const auto x = every_kth(epochs, k);
  const auto loss = every_kth(curves.train_loss, k);
  const auto smooth =
      every_kth(moving_average(curves.train_loss, std::max<std::size_t>(1, steps / 50)), k);
  return data_block("steps", {&x, &loss, &smooth});
}

std::string epoch_block(const std::string& name, const std::vector<double>& values) {
  std::vector<double> epochs(values.size());
  std::iota(epochs.begin(), epochs.end(), 1.0);
  return data_block(name, {&epochs, &values});
}

// The best epoch's point as a block of data, and the plot element (after a comma) that draws it;
// both empty when no epoch has a value.
struct Mark {
  std::string block;
  std::string element;
};

template <class Better>
Mark mark_best(const std::string& name, const std::vector<double>& values, Better better,
               const char* colour, const std::string& what) {
  std::size_t best = values.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    if (best == values.size() || better(values[i], values[best])) best = i;
  }
  if (best == values.size()) return {};
  const std::vector<double> x{static_cast<double>(best + 1)};
  const std::vector<double> y{values[best]};
  return {data_block(name, {&x, &y}),
          ", $" + name + " using 1:2 with points pt 6 ps 1.8 lw 2 lc rgb '" + colour + "' title " +
              gnuplot_quote(what + " " + fixed3(values[best]) + " (epoch " +
                            std::to_string(best + 1) + ")")};
}

// ---- Calibration and bars ----------------------------------------------------------------------

// Columns: mean probability, frequency, count, middle of the bin. Empty bins are holes.
std::string calibration_block(const std::string& name, const Calibration& calibration) {
  std::vector<double> confidence;
  std::vector<double> frequency;
  std::vector<double> counts(calibration.counts.begin(), calibration.counts.end());
  std::vector<double> middles;
  for (std::size_t bin = 0; bin < counts.size(); ++bin) {
    const bool empty = calibration.counts[bin] == 0;
    const double hole = std::numeric_limits<double>::quiet_NaN();
    confidence.push_back(empty ? hole : calibration.confidence[bin]);
    frequency.push_back(empty ? hole : calibration.frequency[bin]);
    middles.push_back((static_cast<double>(bin) + 0.5) / static_cast<double>(counts.size()));
  }
  return data_block(name, {&confidence, &frequency, &counts, &middles});
}

// By falling AUROC, classes without one last.
std::vector<const ClassMetrics*> best_first(const std::vector<ClassMetrics>& classes) {
  std::vector<const ClassMetrics*> ranked;
  for (const ClassMetrics& one : classes) ranked.push_back(&one);
  std::stable_sort(ranked.begin(), ranked.end(), [](const ClassMetrics* a, const ClassMetrics* b) {
    return a->auroc.value_or(-1.0) > b->auroc.value_or(-1.0);
  });
  return ranked;
}

struct BarData {
  std::vector<double> area;
  std::vector<double> row;
  std::vector<double> q05;
  std::vector<double> q95;
  double lowest = 0.5;  // where the bars begin: chance, or below the lowest value
};

BarData bar_data(const std::vector<const ClassMetrics*>& ranked) {
  const double hole = std::numeric_limits<double>::quiet_NaN();
  BarData bars;
  for (const ClassMetrics* one : ranked) {
    const auto& interval = one->auroc_interval;
    bars.area.push_back(one->auroc.value_or(hole));
    bars.row.push_back(static_cast<double>(bars.row.size()));
    bars.q05.push_back(interval ? interval->q05 : hole);
    bars.q95.push_back(interval ? interval->q95 : hole);
    const double least = std::min(one->auroc.value_or(1.0), interval ? interval->q05 : 1.0);
    bars.lowest = std::min(bars.lowest, std::floor(least * 10.0) / 10.0);
  }
  return bars;
}

// gnuplot takes the label of a tic for a format of numbers, in which %% is a plain sign.
std::string tic_label(std::string_view text) {
  std::string label;
  for (const char byte : text) label.append(byte == '%' ? 2 : 1, byte);
  return gnuplot_quote(label);
}

// Names on the left; value and number of positives on the right.
std::string bar_names(const std::vector<const ClassMetrics*>& ranked) {
  std::string left;
  std::string right;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    const ClassMetrics& one = *ranked[i];
    const std::string at = (i ? ", " : "");
    const std::string value = one.auroc ? fixed3(*one.auroc) : "undefined";
    left += at + tic_label(shortened(one.name, longest_name)) + ' ' + std::to_string(i);
    right += at + gnuplot_quote(value + "  (" + std::to_string(one.positives) + " positive)") +
             ' ' + std::to_string(i);
  }
  return "set ytics scale 0 (" + left +
         ")\nset link y2\n"
         "set y2tics scale 0 (" +
         right + ")\n";
}

}  // namespace

void plot_training(const std::filesystem::path& path, std::string_view title,
                   const TrainingCurves& curves) {
  CG_CHECK(curves.steps_per_epoch >= 1, "an epoch has at least one step");
  if (curves.train_loss.empty() || curves.validation_loss.empty() ||
      curves.validation_auroc.empty()) {
    throw InputError(path.string() + ": training curves need one finished epoch");
  }
  const double epochs = std::max(
      {static_cast<double>(curves.train_loss.size()) / static_cast<double>(curves.steps_per_epoch),
       static_cast<double>(curves.validation_loss.size()),
       static_cast<double>(curves.validation_auroc.size())});
  const Mark lowest =
      mark_best("lowest", curves.validation_loss, std::less<>(), vermilion, "lowest");
  const Mark highest =
      mark_best("highest", curves.validation_auroc, std::greater<>(), green, "highest");
  std::string script = look;
  script += lowest.block + highest.block;
  script += step_block(curves) + epoch_block("loss", curves.validation_loss) +
            epoch_block("auroc", curves.validation_auroc);
  script += "set xrange [0:" + gnuplot_number(epochs * 1.01) +
            "]\nset lmargin 10\nset rmargin 3\n"
            "set multiplot layout 2,1 title " +
            gnuplot_quote(title) +
            " font ',13'\n"
            "set key top right opaque spacing 1.2 samplen 2\nset ylabel 'loss (nats)'\n"
            "plot $steps using 1:2 with lines lw 0.6 lc rgb '" +
            light_blue +
            "' title 'training, each step', $steps using 1:3 with lines lw 2.2 lc rgb '" + blue +
            "' title 'training, moving average', $loss using 1:2 with linespoints pt 7 ps 0.7 lw 2 "
            "lc rgb '" +
            vermilion + "' title 'validation'";
  script += lowest.element;
  script +=
      "\nset xlabel 'epoch'\nset ylabel 'macro AUROC'\nset key bottom right opaque\n"
      "plot $auroc using 1:2 with linespoints pt 7 ps 0.7 lw 2 lc rgb '" +
      std::string(green) + "' title 'validation'";
  script += highest.element;
  script += "\nunset multiplot\n";
  draw_with_gnuplot(path, {900, 760}, script);
}

void plot_roc(const std::filesystem::path& path, std::string_view title,
              const Predictions& predictions) {
  plot_curves(
      path, title,
      {"false positive rate (1 - specificity)", "true positive rate (sensitivity)", "AUROC",
       "x with lines lw 1 dt '-' lc rgb '#999999' title 'chance  0.500', ", roc_curve, auroc},
      predictions);
}

void plot_precision_recall(const std::filesystem::path& path, std::string_view title,
                           const Predictions& predictions) {
  plot_curves(path, title,
              {"recall (sensitivity)", "precision (positive predictive value)", "AUPRC", "",
               precision_recall_curve, average_precision},
              predictions);
}

void plot_calibration(const std::filesystem::path& path, std::string_view title,
                      const Predictions& predictions) {
  predictions.check();
  const Calibration pooled = calibrate(predictions.targets, predictions.scores);
  std::string blocks = calibration_block("pooled", pooled);
  std::string plot = "plot x with lines lw 1 dt '-' lc rgb '#999999' title 'perfect', ";
  if (predictions.classes() > 1 && predictions.class_names.size() <= most_coloured) {
    for (std::int64_t i = 0; i < predictions.classes(); ++i) {
      const std::string block = "class" + std::to_string(i);
      const auto at = static_cast<std::size_t>(i);
      blocks += calibration_block(
          block, calibrate(class_column(predictions.targets, predictions.classes(), i),
                           class_column(predictions.scores, predictions.classes(), i)));
      plot += "$" + block + " using 1:2 with linespoints pt 7 ps 0.4" + class_style(at) +
              " title " + gnuplot_quote(shortened(predictions.class_names[at], longest_name)) +
              ", ";
    }
  }
  plot += "$pooled using 1:2 with linespoints pt 7 ps 0.9 lw 3 lc rgb '#000000' title " +
          gnuplot_quote("all classes (ECE " + fixed3(pooled.expected_error) + ")") + "\n";
  std::string script = look + blocks;
  script += "set multiplot title " + gnuplot_quote(title) +
            " font ',13'\n"
            "set lmargin at screen 0.13\nset rmargin at screen 0.68\n"
            "set xrange [0:1]\nset xtics 0.2\n"
            "set tmargin at screen 0.92\nset bmargin at screen 0.34\n"
            "set yrange [0:1]\nset ytics 0.2\nset format x ''\n"
            "set ylabel 'observed frequency'\n"
            "set key outside right center vertical Left reverse samplen 2 spacing 1.25\n" +
            plot +
            "set tmargin at screen 0.31\nset bmargin at screen 0.11\n"
            "set format x '%g'\nset xlabel 'predicted probability'\n"
            "set logscale y\nset yrange [0.8:*]\nset ytics autofreq\nset format y '%g'\n"
            "set ylabel 'predictions'\nset boxwidth 0.09\nset style fill solid 0.8 noborder\n"
            "plot $pooled using 4:($3 > 0 ? $3 : NaN) with boxes lc rgb '" +
            std::string(blue) + "' notitle\nunset multiplot\n";
  draw_with_gnuplot(path, {960, 800}, script);
}

void plot_class_auroc(const std::filesystem::path& path, std::string_view title,
                      const Metrics& metrics) {
  const std::vector<const ClassMetrics*> ranked = best_first(metrics.classes);
  if (!metrics.macro_auroc) {
    throw InputError(path.string() + ": no class has both kinds of label, so there is no AUROC");
  }
  const BarData bars = bar_data(ranked);
  const auto rows = static_cast<int>(ranked.size());
  const std::vector<double> macro_x(2, *metrics.macro_auroc);
  const std::vector<double> macro_y{-0.6, rows - 0.4};
  std::string script = look;
  script += data_block("bars", {&bars.area, &bars.row, &bars.q05, &bars.q95});
  script += data_block("macro", {&macro_x, &macro_y});
  script += "set title " + gnuplot_quote(title) + "\nset xlabel 'AUROC'\nset xrange [" +
            gnuplot_number(bars.lowest) + ":1]\nset yrange [" + std::to_string(rows) +
            "-0.4:-0.6]\nunset grid\nset grid xtics lt 1 lc rgb '#e2e2e2' lw 0.8\n"
            "set style fill solid 0.85 noborder\n"
            "set key bmargin center horizontal Left reverse samplen 2 width 2\nset bmargin 5.5\n" +
            bar_names(ranked) + "plot $bars using (" + gnuplot_number(bars.lowest) + "):2:(" +
            gnuplot_number(bars.lowest) +
            "):1:($2-0.36):($2+0.36) with boxxyerror lc rgb '#56B4E9' notitle";
  if (metrics.bootstrap) {
    script +=
        ", $bars using 1:2:3:4 with xerrorbars pt -1 lw 1.4 lc rgb '#333333' "
        "title '5 % to 95 % of resamples'";
  }
  script += ", $macro using 1:2 with lines lw 2 dt '-' lc rgb '" + std::string(vermilion) +
            "' title " + gnuplot_quote("macro mean " + fixed3(*metrics.macro_auroc)) + "\n";
  draw_with_gnuplot(path, {900, 190 + 26 * rows}, script);
}

}  // namespace cardiograd
