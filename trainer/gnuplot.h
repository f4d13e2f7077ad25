// gnuplot as a process: a script goes in through a pipe, a picture comes back through another.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace cardiograd {

// Base size in points; a PNG has one and a half times as many pixels.
struct PictureSize {
  int width = 900;
  int height = 640;
};

// Runs `script` and writes the picture to `path`, whole or not at all. The ending of `path` chooses
// the format: .png or .svg, anything else throws InputError. Throws DeviceError that names the
// package when gnuplot is not installed, Error with gnuplot's own words when it fails.
void draw_with_gnuplot(const std::filesystem::path& path, PictureSize size,
                       std::string_view script);

// Throws InputError unless a picture of this name could be written: its ending is known and its
// folder is there. For who computes for long before drawing.
void check_picture_path(const std::filesystem::path& path);

// A sheet whose picture is true to scale.
struct PaperSize {
  double width = 297.0;  // mm
  double height = 210.0;
  double dpi = 177.8;  // of a PNG: 7 pixels a millimetre; 50 to 1200
};

// The same with a script whose line widths and font sizes are millimetres (a font's is its em). A
// PNG says how many pixels a metre it has, an SVG how many millimetres it measures, so that both
// print in their size. A dpi out of range throws InputError.
void draw_on_paper(const std::filesystem::path& path, PaperSize size, std::string_view script);

// Any text as a literal of gnuplot's language: single quotes, in which it neither expands nor
// escapes anything. Quotes that could end it become typographic ones, control characters spaces,
// broken UTF-8 question marks.
std::string gnuplot_quote(std::string_view text);

// A number as gnuplot reads it; what is not finite becomes a hole in the curve.
std::string gnuplot_number(double value);

}  // namespace cardiograd
