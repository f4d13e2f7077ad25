// A 12-lead ECG on standard paper: 25 mm/s and 10 mm/mV on a grid of 1 and 5 mm, A4 landscape.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cardiograd {

enum class EcgLayout {
  three_by_four,  // three rows of four leads, 2.5 s each, and lead II for 10 s beneath
  twelve_by_one,  // twelve rows of 10 s
};

// "3x4" or "12x1"; InputError for anything else.
EcgLayout parse_ecg_layout(std::string_view name);

struct EcgSheet {
  std::span<const float> millivolts;  // [length, 12] in the order of ecg_lead_names(); NaN: missing
  double rate = 0.0;                  // Hz
  std::string name;                   // the record's, above the paper and below it
  std::string remark;                 // a second line above the paper; may be empty
};

// I, II, III, aVR, aVL, aVF, V1 .. V6: as they are printed.
const std::vector<std::string>& ecg_lead_names();

// Draws the first 10 s to `path` (.png or .svg), true to scale: printed without fitting to the
// page, a second is 25 mm wide. All leads of a column show the same time. A calibration pulse of
// 1 mV and 5 mm stands before each row. A trace that leaves its row overlaps the next one, as on
// paper; missing samples are gaps. Errors are those of trainer/gnuplot.h.
void plot_ecg(const std::filesystem::path& path, const EcgSheet& sheet, EcgLayout layout,
              double dpi = 177.8);

}  // namespace cardiograd
