// Pictures of a run's training: loss and AUROC as they went.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include "kernels/error.h"
#include "trainer/gnuplot.h"
#include "trainer/plot_parts.h"
#include "trainer/plots.h"

namespace cardiograd {
namespace {

constexpr std::size_t few_steps = 50;  // below, a moving average would say nothing

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
  const auto x = every_kth(curves.train_step, k);
  const auto loss = every_kth(curves.train_loss, k);
  const auto smooth =
      every_kth(moving_average(curves.train_loss, std::max<std::size_t>(1, steps / 50)), k);
  return data_block("steps", {&x, &loss, &smooth});
}

// The best value's point as a block of data, and the plot element that draws it; both empty where
// there is no value.
struct Mark {
  std::string block;
  std::string element;
};

template <class Better>
Mark mark_best(const std::string& name, const std::vector<double>& x,
               const std::vector<double>& values, Better better, const char* colour,
               const std::string& what, const std::string& unit) {
  std::size_t best = values.size();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    if (best == values.size() || better(values[i], values[best])) best = i;
  }
  if (best == values.size()) return {};
  const std::vector<double> at{x[best]};
  const std::vector<double> y{values[best]};
  return {data_block(name, {&at, &y}),
          "$" + name + " using 1:2 with points pt 6 ps 1.8 lw 2 lc rgb '" + colour + "' title " +
              gnuplot_quote(what + " " + fixed3(values[best]) + " (" + unit + " " +
                            gnuplot_number(x[best]) + ")")};
}

// One set of axes: data first, then commands that end with a plot.
struct Panel {
  std::string blocks;
  std::string commands;
};

void add_element(std::string& plot, const std::string& element) {
  if (element.empty()) return;
  plot += (plot.empty() ? "plot " : ", ") + element;
}

std::string lines(const char* colour) {
  return " with linespoints pt 7 ps 0.7 lw 2 lc rgb '" + std::string(colour) + "' title ";
}

std::string x_range(double last) { return "set xrange [0:" + gnuplot_number(last * 1.01) + "]\n"; }

// Epochs are numbered by their validations; so where one epoch follows another evenly, both panels
// show the same time at the same place.
Panel loss_panel(const TrainingCurves& curves) {
  double last = 1.0;
  Panel panel;
  std::string plot;
  if (!curves.train_loss.empty()) {
    panel.blocks += step_block(curves);
    last = std::max(last, curves.train_step.back());
    if (curves.train_loss.size() < few_steps) {
      add_element(plot, "$steps using 1:2" + lines(plot_blue) + "'training'");
    } else {
      add_element(plot, "$steps using 1:2 with lines lw 0.6 lc rgb '" +
                            std::string(plot_light_blue) + "' title 'training'");
      add_element(plot, "$steps using 1:3 with lines lw 2.2 lc rgb '" + std::string(plot_blue) +
                            "' title 'training, moving average'");
    }
  }
  if (!curves.validation_loss.empty()) {
    const Mark lowest = mark_best("lowest", curves.validation_step, curves.validation_loss,
                                  std::less<>(), plot_vermilion, "lowest", "step");
    panel.blocks +=
        data_block("loss", {&curves.validation_step, &curves.validation_loss}) + lowest.block;
    last = std::max(last, curves.validation_step.back());
    add_element(plot, "$loss using 1:2" + lines(plot_vermilion) + "'validation'");
    add_element(plot, lowest.element);
  }
  panel.commands = x_range(last) +
                   "set key top right opaque spacing 1.2 samplen 2\n"
                   "set xlabel 'step'\nset ylabel 'loss (nats)'\n" +
                   plot + "\n";
  return panel;
}

Panel auroc_panel(const TrainingCurves& curves) {
  std::vector<double> epochs(curves.validation_auroc.size());
  std::iota(epochs.begin(), epochs.end(), 1.0);
  const Mark highest = mark_best("highest", epochs, curves.validation_auroc, std::greater<>(),
                                 plot_green, "highest", "epoch");
  Panel panel{data_block("auroc", {&epochs, &curves.validation_auroc}) + highest.block, ""};
  std::string plot;
  add_element(plot, "$auroc using 1:2" + lines(plot_green) + "'validation'");
  add_element(plot, highest.element);
  panel.commands = x_range(epochs.back()) +
                   "set key bottom right opaque spacing 1.2 samplen 2\n"
                   "set xlabel 'epoch'\nset ylabel 'macro AUROC'\n" +
                   plot + "\n";
  return panel;
}

void check(const std::filesystem::path& path, const TrainingCurves& curves, bool wants_loss,
           bool wants_auroc) {
  CG_CHECK(curves.train_step.size() == curves.train_loss.size(), "a step has one loss");
  CG_CHECK(curves.validation_step.size() == curves.validation_loss.size(),
           "a validation has one loss");
  if (wants_loss && wants_auroc) {
    if (curves.train_loss.empty() || curves.validation_loss.empty() ||
        curves.validation_auroc.empty()) {
      throw InputError(path.string() + ": training curves need one finished epoch");
    }
  } else if (wants_loss && curves.train_loss.empty() && curves.validation_loss.empty()) {
    throw InputError(path.string() + ": no loss was written yet, so there is no curve");
  } else if (wants_auroc && curves.validation_auroc.empty()) {
    throw InputError(path.string() + ": no epoch has finished yet, so there is no AUROC to draw");
  }
}

void draw_panel(const std::filesystem::path& path, std::string_view title, const Panel& panel) {
  draw_with_gnuplot(
      path, {900, 560},
      plot_look + panel.blocks + "set title " + gnuplot_quote(title) + "\n" + panel.commands);
}

}  // namespace

void plot_loss(const std::filesystem::path& path, std::string_view title,
               const TrainingCurves& curves) {
  check(path, curves, true, false);
  draw_panel(path, title, loss_panel(curves));
}

void plot_auroc(const std::filesystem::path& path, std::string_view title,
                const TrainingCurves& curves) {
  check(path, curves, false, true);
  draw_panel(path, title, auroc_panel(curves));
}

void plot_training(const std::filesystem::path& path, std::string_view title,
                   const TrainingCurves& curves) {
  check(path, curves, true, true);
  const Panel loss = loss_panel(curves);
  const Panel auroc = auroc_panel(curves);
  draw_with_gnuplot(path, {900, 800},
                    plot_look + loss.blocks + auroc.blocks +
                        "set lmargin 10\nset rmargin 3\nset multiplot layout 2,1 title " +
                        gnuplot_quote(title) + " font ',13'\n" + loss.commands + auroc.commands +
                        "unset multiplot\n");
}

}  // namespace cardiograd
