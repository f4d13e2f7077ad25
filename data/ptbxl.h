// PTB-XL's two tables (Wagner et al., "PTB-XL, a large publicly available electrocardiography
// dataset", Scientific Data 7, 154, 2020).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/csv.h"

namespace cardiograd {

// One row of scp_statements.csv.
struct ScpStatement {
  std::string code;
  std::string description;
  bool diagnostic = false;
  bool form = false;
  bool rhythm = false;
  std::string diagnostic_class;     // empty unless diagnostic
  std::string diagnostic_subclass;  // empty unless diagnostic
};

// The statements in alphabetical order of their codes (71 in the published file). Throws
// InputError, naming file and line, for a flag that is neither 1 nor empty, a code that is empty or
// stands twice, a diagnostic statement without its class or subclass.
std::vector<ScpStatement> parse_scp_statements(const CsvTable& table);

inline constexpr std::uint8_t sex_unknown = 255;

// One row of ptbxl_database.csv.
struct PtbxlRow {
  int line = 0;
  std::int32_t ecg_id = 0;
  std::int32_t patient_id = 0;
  float age = 0;                   // years; NaN unknown; 300 stands for above 89
  std::uint8_t sex = sex_unknown;  // 0 male, 1 female
  std::string report;
  std::vector<std::pair<int, float>> statements;  // index into the statements, likelihood 0 .. 100
  std::uint8_t fold = 0;                          // 1 .. 10
  std::string filename_lr;                        // 100 Hz, relative to the root, no extension
  std::string filename_hr;                        // 500 Hz
  bool validated_by_human = false;
};

// ptbxl_database.csv with its columns found. Rows are parsed one by one, so that a bad one can be
// set aside; row() may be called from several threads at once.
class PtbxlDatabase {
 public:
  // `statements` must outlive the object. Throws InputError where a column is missing.
  PtbxlDatabase(CsvTable table, const std::vector<ScpStatement>& statements);

  std::size_t size() const { return table_.rows(); }
  // Throws InputError "FILE, line N: ..." for a field that cannot be read, an unknown statement, a
  // likelihood outside 0 .. 100, a fold outside 1 .. 10, a file name that leaves the root.
  PtbxlRow row(std::size_t index) const;
  // The ecg_id as it stands, for rows that cannot be read.
  std::string_view raw_id(std::size_t index) const { return table_.field(index, ecg_id_); }

 private:
  std::string_view field(std::size_t index, std::size_t column) const {
    return table_.field(index, column);
  }
  [[noreturn]] void fail(std::size_t index, std::size_t column, const char* expected) const;
  std::int32_t whole(std::size_t index, std::size_t column) const;
  float age(std::size_t index) const;
  std::uint8_t sex(std::size_t index) const;
  std::uint8_t fold(std::size_t index) const;
  bool validated(std::size_t index) const;
  std::string record_name(std::size_t index, std::size_t column) const;
  std::vector<std::pair<int, float>> statements(std::size_t index) const;

  CsvTable table_;
  const std::vector<ScpStatement>& known_;
  std::size_t ecg_id_, patient_id_, age_, sex_, report_, scp_codes_, fold_, filename_lr_,
      filename_hr_, validated_;
};

}  // namespace cardiograd
