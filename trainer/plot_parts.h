// What the pictures of a run share: colours, and text for gnuplot.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cardiograd {

// Okabe and Ito's colours (2008), which colour-blind readers can tell apart.
inline constexpr const char* plot_blue = "#0072B2";
inline constexpr const char* plot_vermilion = "#D55E00";
inline constexpr const char* plot_green = "#009E73";
inline constexpr const char* plot_light_blue = "#A9CCE3";

// Border, tics and grid of every picture, as commands.
inline constexpr const char* plot_look = R"(
set border 3 lc rgb '#555555'
set tics nomirror out textcolor rgb '#333333'
set grid lt 1 lc rgb '#e2e2e2' lw 0.8
)";

using PlotColumns = std::vector<const std::vector<double>*>;

// "0.123"
std::string fixed3(double value);
// A named block of data inside the script; columns are of one length.
std::string data_block(const std::string& name, const PlotColumns& columns);
// One colour and dash for each of up to twelve classes.
std::string class_style(std::size_t index);
// Text beside a tic: gnuplot takes it for a format of numbers, in which %% is a plain sign.
std::string tic_label(std::string_view text);

}  // namespace cardiograd
