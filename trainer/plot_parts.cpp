#include "trainer/plot_parts.h"

#include <array>
#include <cstdio>

#include "trainer/gnuplot.h"

namespace cardiograd {

std::string fixed3(double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f", value);
  return text.data();
}

std::string data_block(const std::string& name, const PlotColumns& columns) {
  std::string text = "$" + name + " << END\n";
  for (std::size_t row = 0; row < columns.front()->size(); ++row) {
    for (const auto* column : columns) text += gnuplot_number((*column)[row]) + ' ';
    text += '\n';
  }
  return text + "END\n";
}

std::string class_style(std::size_t index) {
  // Without the yellow, which is hard to see on white; black is the macro mean's.
  constexpr std::array<const char*, 6> palette{plot_blue, plot_vermilion, plot_green,
                                               "#CC79A7", "#E69F00",      "#56B4E9"};
  return std::string(" lw 1.8 dt ") + (index < palette.size() ? "1" : "'-'") + " lc rgb '" +
         palette[index % palette.size()] + "'";
}

std::string tic_label(std::string_view text) {
  std::string label;
  for (const char byte : text) label.append(byte == '%' ? 2 : 1, byte);
  return gnuplot_quote(label);
}

}  // namespace cardiograd
