#include "trainer/text_table.h"

#include <algorithm>

#include "nn/utf8.h"

namespace cardiograd {

using Row = std::vector<std::string>;

std::string aligned_table(const std::vector<Row>& rows, std::size_t left) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], code_points(row[i]));
    }
  }
  std::string text;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - code_points(row[i]), ' ');
      if (i > 0) text += "  ";
      text += i < left ? row[i] + padding : padding + row[i];
    }
    text += '\n';
  }
  return text;
}

std::string markdown_table(const std::vector<Row>& rows) {
  std::string text;
  const auto add = [&text](const Row& row) {
    for (const std::string& cell : row) {
      text += "| ";
      for (const char c : cell) text += c == '|' ? std::string("\\|") : std::string(1, c);
      text += ' ';
    }
    text += "|\n";
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    add(rows[i]);
    if (i == 0) add(Row(rows[0].size(), "---"));
  }
  return text;
}

}  // namespace cardiograd
