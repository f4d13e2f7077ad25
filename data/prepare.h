// Packs PTB-XL as published (or a look-alike) into one file, see data/packed.h.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/denoise.h"

namespace cardiograd {

struct PrepareOptions {
  std::filesystem::path root;  // holds ptbxl_database.csv, scp_statements.csv and the records
  int rate = 100;              // Hz: 100 packs filename_lr, 500 filename_hr
  std::filesystem::path out;
  bool keep_going = false;               // sets bad records aside instead of stopping at the first
  std::optional<DenoiseSpec> denoise{};  // of every lead
};

struct RejectedRecord {
  std::string ecg_id;  // as it stands in the table
  std::string file;    // relative to the root; empty where the row itself is bad
  std::string reason;
};

struct PrepareSummary {
  std::int64_t rows = 0;  // of ptbxl_database.csv
  std::int64_t records = 0;
  std::array<std::int64_t, 11> by_fold{};          // [1] .. [10]
  std::map<std::string, std::int64_t> unlabelled;  // task -> packed records without a label in it
  std::int64_t statements = 0;                     // known ones
  std::int64_t statements_used = 0;                // those that some packed record has
  std::int64_t missing_samples = 0;
  std::int64_t changed_samples = 0;  // by denoising
  std::int64_t empty_notes = 0;
  std::uintmax_t bytes = 0;  // of the packed file
  double seconds = 0;
  std::vector<RejectedRecord> rejected;  // in the table's order
  std::filesystem::path report;          // OUT.rejected.csv; empty unless keep_going
};

// Called between blocks of records with the number of rows done and their total.
using PrepareProgress = std::function<void(std::int64_t done, std::int64_t total)>;

// Reads every record (in parallel), verifies rate, leads, length, gain and checksums, and streams
// them to options.out in the table's order; resident memory does not grow with the signals. The
// first bad row or record in that order throws InputError and leaves no file; with keep_going bad
// ones go to the report OUT.rejected.csv (ecg_id, file, reason) and the rest is packed.
PrepareSummary prepare(const PrepareOptions& options, const PrepareProgress& progress = {});

}  // namespace cardiograd
