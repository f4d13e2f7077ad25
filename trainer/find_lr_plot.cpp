// Picture of a learning-rate range test.
#include <algorithm>
#include <cstdio>

#include "kernels/text.h"
#include "trainer/find_lr.h"
#include "trainer/gnuplot.h"
#include "trainer/plot_parts.h"

namespace cardiograd {

namespace {

// A vertical line over the whole height, with the learning rate in the legend. Behind the curves.
std::string marker(const std::string& name, double lr, const char* colour) {
  const std::string x = gnuplot_number(lr);
  char shown[32];
  std::snprintf(shown, sizeof shown, "%.2g", lr);
  return "'+' using (" + x + "):(low + $0 * (high - low)) every ::0::1 with lines lw 2 dt '-' lc " +
         "rgb '" + colour + "' title " + gnuplot_quote(name + ":  " + shown);
}

}  // namespace

void plot_lr(const std::filesystem::path& path, const std::string& title, const LrCurve& curve,
             const LrSuggestion& suggestion) {
  // Losses that shoot up at the end would press everything else flat.
  const double low = *std::min_element(curve.loss().begin(), curve.loss().end());
  const double high = *std::max_element(curve.smoothed().begin(), curve.smoothed().end());
  const double start = curve.smoothed().front();
  const double most = std::min(high, std::max(2.0 * start - low, start * 1.3));
  const double margin = 0.08 * (most - low) + 1e-9;
  const std::string range =
      "low = " + gnuplot_number(low - margin) + "\nhigh = " + gnuplot_number(most + margin) + "\n";
  std::string plot;
  if (suggestion.steepest) {
    plot += marker("steepest", *suggestion.steepest, plot_vermilion) + ", ";
  }
  plot += marker("lowest / 10", suggestion.tenth(), plot_green);
  draw_with_gnuplot(
      path, {900, 560},
      plot_look + data_block("test", {&curve.lr(), &curve.loss(), &curve.smoothed()}) + range +
          "set title " + gnuplot_quote(title) +
          "\nset logscale x\nset format x '%.0e'\n"
          "set yrange [low:high]\nset samples 2\n"
          "set xrange [" +
          gnuplot_number(curve.lr().front()) + ":" + gnuplot_number(curve.lr().back()) +
          "]\nset key bottom left opaque spacing 1.2 samplen 2\n"
          "set xlabel 'learning rate'\nset ylabel 'training loss (nats)'\nplot " +
          plot + ", $test using 1:2 with points pt 7 ps 0.4 lc rgb '" + plot_light_blue +
          "' title 'loss of a step', $test using 1:3 with lines lw 2.2 lc rgb '" + plot_blue +
          "' title 'smoothed'\n");
}

}  // namespace cardiograd
