#include "data/ptbxl.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "data/scp_codes.h"
#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {
namespace {

bool read_flag(const CsvTable& table, std::size_t row, std::size_t column) {
  const std::string_view field = table.field(row, column);
  if (field.empty() || field == "0.0" || field == "0") return false;
  if (field == "1.0" || field == "1") return true;
  throw InputError(table.place(row) + table.columns()[column] + " is " + quote(field) +
                   ", where 1.0 or nothing is expected");
}

// PTB-XL writes whole numbers as "5" in some columns and as "5.0" in others.
bool parse_whole(std::string_view field, std::int32_t& value) {
  if (field.ends_with(".0")) field.remove_suffix(2);
  return parse_number(field, value);
}

// A name such as records100/00000/00001_lr: relative, and never above the root.
bool stays_inside(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\0') != std::string_view::npos) {
    return false;
  }
  while (!name.empty()) {
    const std::size_t end = std::min(name.find('/'), name.size());
    if (name.substr(0, end) == "..") return false;
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return true;
}

}  // namespace

std::vector<ScpStatement> parse_scp_statements(const CsvTable& table) {
  const std::size_t code = table.column("");
  const std::size_t description = table.column("description");
  const std::size_t diagnostic = table.column("diagnostic");
  const std::size_t form = table.column("form");
  const std::size_t rhythm = table.column("rhythm");
  const std::size_t superclass = table.column("diagnostic_class");
  const std::size_t subclass = table.column("diagnostic_subclass");

  std::vector<ScpStatement> statements;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    ScpStatement statement;
    statement.code = table.field(row, code);
    statement.description = table.field(row, description);
    statement.diagnostic = read_flag(table, row, diagnostic);
    statement.form = read_flag(table, row, form);
    statement.rhythm = read_flag(table, row, rhythm);
    if (statement.code.empty()) {
      throw InputError(table.place(row) + "the first column, the statement's code, is empty");
    }
    if (statement.diagnostic) {
      statement.diagnostic_class = table.field(row, superclass);
      statement.diagnostic_subclass = table.field(row, subclass);
      if (statement.diagnostic_class.empty() || statement.diagnostic_subclass.empty()) {
        throw InputError(table.place(row) + "the diagnostic statement " + quote(statement.code) +
                         " has no diagnostic_class or no diagnostic_subclass");
      }
    }
    statements.push_back(std::move(statement));
  }
  std::sort(statements.begin(), statements.end(),
            [](const ScpStatement& a, const ScpStatement& b) { return a.code < b.code; });
  const auto twice = std::adjacent_find(
      statements.begin(), statements.end(),
      [](const ScpStatement& a, const ScpStatement& b) { return a.code == b.code; });
  if (twice != statements.end()) {
    throw InputError(table.name() + " has the statement " + quote(twice->code) + " twice");
  }
  return statements;
}

PtbxlDatabase::PtbxlDatabase(CsvTable table, const std::vector<ScpStatement>& statements)
    : table_(std::move(table)),
      known_(statements),
      ecg_id_(table_.column("ecg_id")),
      patient_id_(table_.column("patient_id")),
      age_(table_.column("age")),
      sex_(table_.column("sex")),
      report_(table_.column("report")),
      scp_codes_(table_.column("scp_codes")),
      fold_(table_.column("strat_fold")),
      filename_lr_(table_.column("filename_lr")),
      filename_hr_(table_.column("filename_hr")),
      validated_(table_.column("validated_by_human")) {}

PtbxlRow PtbxlDatabase::row(std::size_t index) const {
  PtbxlRow row;
  row.line = table_.line(index);
  row.ecg_id = whole(index, ecg_id_);
  row.patient_id = whole(index, patient_id_);
  row.age = age(index);
  row.sex = sex(index);
  row.report = field(index, report_);
  row.statements = statements(index);
  row.fold = fold(index);
  row.filename_lr = record_name(index, filename_lr_);
  row.filename_hr = record_name(index, filename_hr_);
  row.validated_by_human = validated(index);
  return row;
}

void PtbxlDatabase::fail(std::size_t index, std::size_t column, const char* expected) const {
  throw InputError(table_.place(index) + table_.columns()[column] + " is " +
                   quote(field(index, column)) + ", where " + expected + " is expected");
}

std::int32_t PtbxlDatabase::whole(std::size_t index, std::size_t column) const {
  std::int32_t value = 0;
  if (!parse_whole(field(index, column), value)) fail(index, column, "a whole number");
  return value;
}

float PtbxlDatabase::age(std::size_t index) const {
  if (field(index, age_).empty()) return std::numeric_limits<float>::quiet_NaN();
  float value = 0;
  if (!parse_number(field(index, age_), value) || !std::isfinite(value) || value < 0) {
    fail(index, age_, "a number of years or nothing");
  }
  return value;
}

std::uint8_t PtbxlDatabase::sex(std::size_t index) const {
  if (field(index, sex_).empty()) return sex_unknown;
  std::int32_t value = 0;
  if (!parse_whole(field(index, sex_), value) || value < 0 || value > 1) {
    fail(index, sex_, "0 for male, 1 for female or nothing");
  }
  return static_cast<std::uint8_t>(value);
}

std::uint8_t PtbxlDatabase::fold(std::size_t index) const {
  std::int32_t value = 0;
  if (!parse_whole(field(index, fold_), value) || value < 1 || value > 10) {
    fail(index, fold_, "a fold from 1 to 10");
  }
  return static_cast<std::uint8_t>(value);
}

bool PtbxlDatabase::validated(std::size_t index) const {
  const std::string_view text = field(index, validated_);
  if (text != "True" && text != "False") fail(index, validated_, "True or False");
  return text == "True";
}

std::string PtbxlDatabase::record_name(std::size_t index, std::size_t column) const {
  const std::string_view name = field(index, column);
  if (!stays_inside(name)) fail(index, column, "a file below the data set's folder");
  return std::string(name);
}

std::vector<std::pair<int, float>> PtbxlDatabase::statements(std::size_t index) const {
  std::string where = table_.place(index);
  where.resize(where.size() - 2);  // the parser writes its own ": "
  std::vector<std::pair<int, float>> result;
  for (const auto& [code, likelihood] : parse_scp_codes(field(index, scp_codes_), where)) {
    const auto found = std::lower_bound(
        known_.begin(), known_.end(), code,
        [](const ScpStatement& statement, const std::string& key) { return statement.code < key; });
    if (found == known_.end() || found->code != code) {
      throw InputError(where + ": scp_codes names " + quote(code) +
                       ", which is no statement of scp_statements.csv");
    }
    if (!(likelihood >= 0 && likelihood <= 100)) {
      throw InputError(where + ": scp_codes gives " + quote(code) +
                       " a likelihood outside 0 to 100");
    }
    result.emplace_back(static_cast<int>(found - known_.begin()), static_cast<float>(likelihood));
  }
  return result;
}

}  // namespace cardiograd
