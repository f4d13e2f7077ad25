// CSV files with a header line, read strictly by libcsv.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cardiograd {

// A table in memory. Every row has as many fields as the header line. A UTF-8 byte order mark and
// line ends of either kind are accepted; quoted fields may hold line ends.
class CsvTable {
 public:
  // `name` stands in the sentences. Throws InputError "NAME, line N: ..." for an unterminated or
  // misplaced quote, a row that is too short or too long, a column that stands twice, no header.
  static CsvTable parse(std::string_view text, std::string name);
  static CsvTable read(const std::filesystem::path& path);

  const std::string& name() const { return name_; }
  const std::vector<std::string>& columns() const { return columns_; }
  // Throws InputError with the nearest column's name where there is none called `column`.
  std::size_t column(std::string_view column) const;
  std::size_t rows() const { return lines_.size(); }
  // The line of the file on which the row begins, counted from 1.
  int line(std::size_t row) const { return lines_[row]; }
  std::string_view field(std::size_t row, std::size_t column) const;
  // "NAME, line N: "
  std::string place(std::size_t row) const;

 private:
  std::string name_;
  std::vector<std::string> columns_;
  std::string contents_;           // all fields, one after the other
  std::vector<std::size_t> ends_;  // of each field in contents_
  std::vector<int> lines_;
};

// `field` as it must stand in a CSV file: in quotes where it needs them.
std::string csv_field(std::string_view field);

}  // namespace cardiograd
