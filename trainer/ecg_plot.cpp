#include "trainer/ecg_plot.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/utf8.h"
#include "trainer/gnuplot.h"

namespace cardiograd {
namespace {

// All lengths are millimetres; the origin is the lower left corner of the grid.
constexpr double per_second = 25.0;
constexpr double per_millivolt = 10.0;
constexpr double shown_seconds = 10.0;
constexpr double pulse_width = 5.0;
constexpr int grid_width = 270;
constexpr PaperSize paper{297.0, 210.0};
constexpr std::size_t leads = 12;
constexpr std::size_t lead_ii = 1;
constexpr std::size_t longest_line = 110;

constexpr const char* minor_colour = "#f5c9c9";
constexpr const char* major_colour = "#e48f8f";
constexpr const char* ink = "#141414";

// A lead over a part of the ten seconds.
struct Segment {
  std::size_t lead;
  double begin;  // s
  double end;
  double baseline;  // mm
  double name_x;    // mm, of the lead's name
};

struct Plan {
  int grid_height;
  double grid_bottom;  // above the lower edge of the page
  double name_height;  // of the lead names over the baseline
  double pulse_begin;
  double trace_begin;
  std::vector<double> baselines;
  std::vector<Segment> segments;
};

// Each lead's name stands over the beginning of its part.
Plan plan_three_by_four() {
  constexpr int columns = 4;
  constexpr double column_seconds = shown_seconds / columns;
  constexpr double indent = 1.5;
  Plan plan{170, 18.0, 12.0, 5.0, 15.0, {145.0, 105.0, 65.0, 25.0}, {}};
  for (std::size_t lead = 0; lead < leads; ++lead) {
    const double begin = column_seconds * static_cast<double>(lead / 3);
    plan.segments.push_back({lead, begin, begin + column_seconds, plan.baselines[lead % 3],
                             plan.trace_begin + per_second * begin + indent});
  }
  plan.segments.push_back(
      {lead_ii, 0.0, shown_seconds, plan.baselines.back(), plan.trace_begin + indent});
  return plan;
}

// Rows are too close for names over the traces: they stand before the pulses.
Plan plan_twelve_by_one() {
  constexpr double row_height = 15.0;
  Plan plan{185, 12.0, 2.5, 11.0, 20.0, {}, {}};
  for (std::size_t lead = 0; lead < leads; ++lead) {
    const double baseline = 175.0 - row_height * static_cast<double>(lead);
    plan.baselines.push_back(baseline);
    plan.segments.push_back({lead, 0.0, shown_seconds, baseline, 1.0});
  }
  return plan;
}

std::string point(double x, double y) { return gnuplot_number(x) + ' ' + gnuplot_number(y) + '\n'; }

// Every `step` millimetres, without those of every `left_out`.
std::string grid_block(const std::string& name, int height, int step, int left_out) {
  std::string text = "$" + name + " << END\n";
  const auto drawn = [=](int at) {
    return at % step == 0 && (left_out == 0 || at % left_out != 0);
  };
  for (int x = 0; x <= grid_width; ++x) {
    if (drawn(x)) text += point(x, 0) + point(x, height) + '\n';
  }
  for (int y = 0; y <= height; ++y) {
    if (drawn(y)) text += point(0, y) + point(grid_width, y) + '\n';
  }
  return text + "END\n";
}

std::string pulses(const Plan& plan) {
  constexpr double foot = 1.5;
  std::string text;
  for (const double baseline : plan.baselines) {
    const double top = baseline + per_millivolt;
    const double rise = plan.pulse_begin;
    const double fall = rise + pulse_width;
    text += point(rise - foot, baseline) + point(rise, baseline) + point(rise, top) +
            point(fall, top) + point(fall, baseline) + point(fall + foot, baseline) + '\n';
  }
  return text;
}

// One polyline a run of samples that are there.
std::string trace(const EcgSheet& sheet, const Segment& segment, double trace_begin) {
  std::string text;
  const std::size_t length = sheet.millivolts.size() / leads;
  const auto first = static_cast<std::size_t>(std::ceil(segment.begin * sheet.rate - 1e-6));
  bool drawing = false;
  for (std::size_t i = first; i < length; ++i) {
    const double seconds = static_cast<double>(i) / sheet.rate;
    if (seconds > segment.end + 1e-6) break;
    const double value = static_cast<double>(sheet.millivolts[i * leads + segment.lead]);
    if (std::isfinite(value)) {
      text += point(trace_begin + per_second * seconds, segment.baseline + per_millivolt * value);
    } else if (drawing) {
      text += '\n';
    }
    drawing = std::isfinite(value);
  }
  return text + '\n';
}

std::string traces(const EcgSheet& sheet, const Plan& plan) {
  std::string text = "$traces << END\n" + pulses(plan);
  for (const Segment& segment : plan.segments) {
    text += trace(sheet, segment, plan.trace_begin);
    if (segment.begin > 0.0) {  // where one lead ends and the next begins
      const double x = plan.trace_begin + per_second * segment.begin;
      text += point(x, segment.baseline + 3.0) + point(x, segment.baseline + 6.0) + '\n' +
              point(x, segment.baseline - 3.0) + point(x, segment.baseline - 6.0) + '\n';
    }
  }
  return text + "END\n";
}

std::string label(const std::string& text, double x, double y, double em, const char* options) {
  return "set label " + gnuplot_quote(text) + " at " + gnuplot_number(x) + "," + gnuplot_number(y) +
         " front " + options + " font 'DejaVu Sans" + (em > 3.2 ? ":Bold," : ",") +
         gnuplot_number(em) + "' textcolor rgb '" + ink + "'\n";
}

std::string labels(const EcgSheet& sheet, const Plan& plan) {
  std::string text;
  for (const Segment& segment : plan.segments) {
    text += label(ecg_lead_names()[segment.lead], segment.name_x,
                  segment.baseline + plan.name_height, 3.6, "left");
  }
  const double top = plan.grid_height;
  const std::string name = shortened(sheet.name, longest_line);
  text += label(name, 0.0, top + (sheet.remark.empty() ? 5.0 : 8.5), 4.2, "left");
  if (!sheet.remark.empty()) {
    text += label(shortened(sheet.remark, longest_line), 0.0, top + 3.5, 3.2, "left");
  }
  text += label("25 mm/s     10 mm/mV     " + shortest_number(sheet.rate) + " Hz", 0.0, -4.0, 3.0,
                "left");
  return text + label(name, grid_width, -4.0, 3.0, "right");
}

std::string frame(const Plan& plan) {
  const double left = (paper.width - grid_width) / 2.0;
  const auto at = [](const char* margin, double share) {
    return "set " + std::string(margin) + " at screen " + gnuplot_number(share) + "\n";
  };
  return "unset border\nunset tics\nunset key\nset clip two\n" + at("lmargin", left / paper.width) +
         at("rmargin", (left + grid_width) / paper.width) +
         at("bmargin", plan.grid_bottom / paper.height) +
         at("tmargin", (plan.grid_bottom + plan.grid_height) / paper.height) +
         "set xrange [0:" + std::to_string(grid_width) +
         "]\nset yrange [0:" + std::to_string(plan.grid_height) + "]\n";
}

}  // namespace

EcgLayout parse_ecg_layout(std::string_view name) {
  if (name == "3x4") return EcgLayout::three_by_four;
  if (name == "12x1") return EcgLayout::twelve_by_one;
  throw InputError("the layout of an ECG is 3x4 or 12x1, not " + quote(name));
}

const std::vector<std::string>& ecg_lead_names() {
  static const std::vector<std::string> names{"I",  "II", "III", "aVR", "aVL", "aVF",
                                              "V1", "V2", "V3",  "V4",  "V5",  "V6"};
  return names;
}

void plot_ecg(const std::filesystem::path& path, const EcgSheet& sheet, EcgLayout layout,
              double dpi) {
  CG_CHECK(sheet.millivolts.size() % leads == 0, "an ECG has 12 leads a sample");
  CG_CHECK(sheet.rate > 0.0, "an ECG's rate is positive");
  const Plan plan =
      layout == EcgLayout::three_by_four ? plan_three_by_four() : plan_twelve_by_one();
  std::string script = frame(plan) + grid_block("minor", plan.grid_height, 1, 5) +
                       grid_block("major", plan.grid_height, 5, 0) + traces(sheet, plan) +
                       labels(sheet, plan);
  script += "plot $minor using 1:2 with lines lw 0.1 lc rgb '" + std::string(minor_colour) +
            "', $major using 1:2 with lines lw 0.16 lc rgb '" + major_colour +
            "', $traces using 1:2 with lines lw 0.27 lc rgb '" + ink + "'\n";
  draw_on_paper(path, {paper.width, paper.height, dpi}, script);
}

}  // namespace cardiograd
