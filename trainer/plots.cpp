#include "trainer/plots.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/utf8.h"
#include "trainer/curves.h"
#include "trainer/gnuplot.h"
#include "trainer/metrics.h"
#include "trainer/plot_parts.h"

namespace cardiograd {
namespace {

constexpr std::size_t most_coloured = 10;
constexpr std::size_t longest_name = 22;

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
  std::string script = plot_look;
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

// ---- Confusion ---------------------------------------------------------------------------------

// Each cell's middle and colour: white where `share` is 0, a light tone of `full` where it is 1, so
// that black text stays readable.
struct Cells {
  std::vector<double> x, y, red, green, blue;

  void add(double column, double row, std::int64_t part, std::int64_t whole,
           const std::array<double, 3>& full) {
    const double share =
        whole > 0 ? 0.75 * static_cast<double>(part) / static_cast<double>(whole) : 0.0;
    x.push_back(column);
    y.push_back(row);
    red.push_back(std::round(std::lerp(255.0, full[0], share)));
    green.push_back(std::round(std::lerp(255.0, full[1], share)));
    blue.push_back(std::round(std::lerp(255.0, full[2], share)));
  }
};

std::string centred(const std::string& text, double x, double y) {
  return "set label " + gnuplot_quote(text) + " at " + gnuplot_number(x) + "," + gnuplot_number(y) +
         " center front textcolor rgb '#222222'\n";
}

std::string ratio(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? fixed3(static_cast<double>(part) / static_cast<double>(whole)) : "-";
}

constexpr double first_ratio = 4.1;  // where the columns right of the four cells begin

std::string confusion_heading() {
  constexpr double above = -0.85;
  const std::array<std::pair<const char*, const char*>, 4> cells{
      {{"true", "positive"}, {"false", "negative"}, {"false", "positive"}, {"true", "negative"}}};
  const std::array<const char*, 3> ratios{"sensitivity", "specificity", "precision"};
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    text += centred(cells[i].first, static_cast<double>(i), above - 0.45);
    text += centred(cells[i].second, static_cast<double>(i), above);
  }
  for (std::size_t i = 0; i < ratios.size(); ++i) {
    text += centred(ratios[i], first_ratio + 1.15 * static_cast<double>(i), above);
  }
  return text;
}

}  // namespace

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
  plot +=
      "$pooled using 1:2 with linespoints pt 7 ps 0.9 lw 3 lc rgb '#000000' title 'all classes'";
  // One wide entry would push the legend into the picture.
  const auto remark = [](const char* name, double value) {
    return ", keyentry with dots lc rgb '#ffffff' title '" + std::string(name) + "  " +
           fixed3(value) + "'";
  };
  plot += remark("ECE", pooled.expected_error) + remark("Brier score", pooled.brier) + "\n";
  std::string script = plot_look + blocks;
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
            std::string(plot_blue) + "' notitle\nunset multiplot\n";
  draw_with_gnuplot(path, {960, 800}, script);
}

void plot_confusion(const std::filesystem::path& path, std::string_view title,
                    const Predictions& predictions, double threshold) {
  constexpr std::array<double, 3> right{0x00, 0x72, 0xB2};
  constexpr std::array<double, 3> wrong{0xD5, 0x5E, 0x00};
  predictions.check();
  Cells cells;
  std::string labels = confusion_heading();
  std::string names;
  for (std::int64_t row = 0; row < predictions.classes(); ++row) {
    const Confusion c =
        confusion_counts(class_column(predictions.targets, predictions.classes(), row),
                         class_column(predictions.scores, predictions.classes(), row), threshold);
    const std::int64_t positives = c.true_positives + c.false_negatives;
    const std::int64_t negatives = c.true_negatives + c.false_positives;
    const auto at = static_cast<double>(row);
    const std::array<std::int64_t, 4> counts{c.true_positives, c.false_negatives, c.false_positives,
                                             c.true_negatives};
    for (std::size_t cell = 0; cell < counts.size(); ++cell) {
      const auto column = static_cast<double>(cell);
      cells.add(column, at, counts[cell], cell < 2 ? positives : negatives,
                cell == 0 || cell == 3 ? right : wrong);
      labels += centred(std::to_string(counts[cell]), column, at);
    }
    labels += centred(ratio(c.true_positives, positives), first_ratio, at) +
              centred(ratio(c.true_negatives, negatives), first_ratio + 1.15, at) +
              centred(ratio(c.true_positives, c.true_positives + c.false_positives),
                      first_ratio + 2.3, at);
    names +=
        (row > 0 ? ", " : "") +
        tic_label(shortened(predictions.class_names[static_cast<std::size_t>(row)], longest_name)) +
        ' ' + std::to_string(row);
  }
  const auto rows = static_cast<int>(predictions.classes());
  draw_with_gnuplot(
      path, {900, 150 + 30 * rows},
      plot_look + data_block("cells", {&cells.x, &cells.y, &cells.red, &cells.green, &cells.blue}) +
          labels + "set title " + gnuplot_quote(title) +
          "\nunset grid\nunset border\n"
          "unset xtics\nset ytics scale 0 (" +
          names + ")\nset xrange [-0.55:7]\nset yrange [" + std::to_string(rows) +
          "-0.4:-1.6]\nset style fill solid 1.0 noborder\n"
          "set label " +
          gnuplot_quote("positive: probability of at least " + shortest_number(threshold)) +
          " at screen 0.98, screen 0.03 right textcolor rgb '#555555'\n"
          "plot $cells using 1:2:($1-0.48):($1+0.48):($2-0.46):($2+0.46):(65536*$3+256*$4+$5) with "
          "boxxyerror lc rgb variable notitle\n");
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
  std::string script = plot_look;
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
  script += ", $macro using 1:2 with lines lw 2 dt '-' lc rgb '" + std::string(plot_vermilion) +
            "' title " + gnuplot_quote("macro mean " + fixed3(*metrics.macro_auroc)) + "\n";
  draw_with_gnuplot(path, {900, 190 + 26 * rows}, script);
}

}  // namespace cardiograd
