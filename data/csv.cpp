#include "data/csv.h"

#include <algorithm>
#include <csv.h>
#include <utility>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/input_file.h"

namespace cardiograd {
namespace {

constexpr std::size_t max_csv_bytes = std::size_t{1} << 31;

struct Rows {
  std::string contents;
  std::vector<std::size_t> field_ends;
  std::vector<std::size_t> row_ends;  // in fields
  std::vector<int> row_lines;
};

// Feeds libcsv line by line, so that each row's first line is known.
class Reader {
 public:
  Reader(std::string_view text, const std::string& name) : text_(text), name_(name) {
    if (csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI) != 0) {
      throw InputError("the CSV parser cannot be started");
    }
    csv_set_space_func(&parser_, [](unsigned char) { return 0; });  // blanks belong to the field
    // All memory is taken here: libcsv calls back through C, where nothing may be thrown.
    const auto separators = static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return c == ',' || c == '\n' || c == '\r'; }));
    rows_.contents.reserve(text.size());
    rows_.field_ends.reserve(separators + 1);
    rows_.row_ends.reserve(separators + 1);
    rows_.row_lines.reserve(separators + 1);
  }
  ~Reader() { csv_free(&parser_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Rows read() {
    std::string_view rest = text_;
    while (!rest.empty()) {
      const std::size_t length = std::min(rest.find('\n'), rest.size() - 1) + 1;
      feed(rest.substr(0, length));
      rest.remove_prefix(length);
    }
    if (csv_fini(&parser_, on_field, on_row, this) != 0) {
      throw InputError(name_ + ", line " + std::to_string(row_line_) +
                       ": a quoted field that begins in this row is never closed");
    }
    return std::move(rows_);
  }

 private:
  void feed(std::string_view line) {
    ++line_;
    if (!inside_row_) row_line_ = line_;
    const std::size_t rows_before = rows_.row_ends.size();
    if (csv_parse(&parser_, line.data(), line.size(), on_field, on_row, this) != line.size()) {
      throw InputError(name_ + ", line " + std::to_string(line_) +
                       ": a quote stands where none may be; write it twice inside a quoted field");
    }
    const bool blank = line.find_first_not_of("\r\n") == std::string_view::npos;
    inside_row_ = rows_.row_ends.size() == rows_before && (inside_row_ || !blank);
  }

  static void on_field(void* data, std::size_t size, void* self) {
    Rows& rows = static_cast<Reader*>(self)->rows_;
    rows.contents.append(static_cast<const char*>(data), size);
    rows.field_ends.push_back(rows.contents.size());
  }

  static void on_row(int, void* self) {
    auto& reader = *static_cast<Reader*>(self);
    reader.rows_.row_ends.push_back(reader.rows_.field_ends.size());
    reader.rows_.row_lines.push_back(reader.row_line_);
  }

  std::string_view text_;
  const std::string& name_;
  csv_parser parser_{};
  Rows rows_;
  int line_ = 0;
  int row_line_ = 1;
  bool inside_row_ = false;
};

}  // namespace

CsvTable CsvTable::parse(std::string_view text, std::string name) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  CsvTable table;
  table.name_ = std::move(name);
  Rows rows = Reader(text, table.name_).read();
  if (rows.row_ends.empty())
    throw InputError(table.name_ + " is empty; its header line is missing");

  const std::size_t width = rows.row_ends.front();
  table.contents_ = std::move(rows.contents);
  table.ends_ = std::move(rows.field_ends);
  table.lines_ = std::move(rows.row_lines);
  for (std::size_t row = 0; row < rows.row_ends.size(); ++row) {
    const std::size_t fields = rows.row_ends[row] - (row == 0 ? 0 : rows.row_ends[row - 1]);
    if (fields != width) {
      throw InputError(table.place(row) + "the row has " + std::to_string(fields) +
                       " fields, but the header line has " + std::to_string(width));
    }
  }
  table.columns_.resize(width);
  for (std::size_t column = 0; column < width; ++column) {
    const std::string_view title = table.field(0, column);
    if (std::find(table.columns_.begin(), table.columns_.begin() + static_cast<long>(column),
                  title) != table.columns_.begin() + static_cast<long>(column)) {
      throw InputError(table.place(0) + "the column " + quote(title) + " stands twice");
    }
    table.columns_[column] = title;
  }
  table.lines_.erase(table.lines_.begin());
  table.contents_.erase(0, table.ends_[width - 1]);
  const std::size_t header_size = table.ends_[width - 1];
  table.ends_.erase(table.ends_.begin(), table.ends_.begin() + static_cast<long>(width));
  for (std::size_t& end : table.ends_) end -= header_size;
  return table;
}

CsvTable CsvTable::read(const std::filesystem::path& path) {
  return parse(read_text(path, max_csv_bytes), path.string());
}

std::size_t CsvTable::column(std::string_view column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  if (found == columns_.end()) {
    throw InputError(name_ + " has no column " + quote(column) + suggestion(column, columns_));
  }
  return static_cast<std::size_t>(found - columns_.begin());
}

std::string_view CsvTable::field(std::size_t row, std::size_t column) const {
  const std::size_t width = columns_.size();
  const std::size_t index = row * width + column;
  const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
  return std::string_view(contents_).substr(begin, ends_[index] - begin);
}

std::string CsvTable::place(std::size_t row) const {
  return name_ + ", line " + std::to_string(lines_[row]) + ": ";
}

std::string csv_field(std::string_view field) {
  if (field.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(field);
  std::string quoted = "\"";
  for (const char c : field) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace cardiograd
