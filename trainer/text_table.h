// Tables for a terminal and for Markdown.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace cardiograd {

// Rows of equal length, the first of them the heading. The first columns, `left` of them, are flush
// left, the others flush right; widths count code points (UTF-8).
std::string aligned_table(const std::vector<std::vector<std::string>>& rows, std::size_t left = 1);
// The same as a Markdown table; "|" in a cell is escaped.
std::string markdown_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace cardiograd
