// The rows of a synthetic data set's two CSV files.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "data/synth_plan.h"

namespace cardiograd {

// Deals patients out to the ten folds so that each has its share of all records and of every
// superclass. Patients must come in ascending order; a patient stays where the first record went.
class SynthFolds {
 public:
  // 1 .. 10
  int assign(const SynthPlan& plan);

 private:
  static constexpr std::size_t groups = 6;  // five superclasses, and all
  std::array<std::array<double, groups>, 10> counts_{};
  std::array<double, groups> totals_{};
  std::int64_t patient_ = 0;
  std::size_t fold_ = 0;
};

// "records100/00000/00001_lr" or "records500/00000/00001_hr": PTB-XL's folders of a thousand.
std::string synth_record_name(std::int64_t record, int rate);

// scp_statements.csv as a whole. AHA code, aECG REFID, CDISC and DICOM codes stay empty.
std::string synth_statement_table();

// ptbxl_database.csv's header line and one row, each with its line end.
std::string synth_database_header();
std::string synth_database_row(const SynthPlan& plan, int fold, std::uint64_t seed);

}  // namespace cardiograd
