// One ECG of 12 leads in millivolts, read from any WFDB record.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/denoise.h"
#include "data/packed.h"
#include "data/wfdb.h"

namespace cardiograd {

using LeadColumns = std::array<std::size_t, packed_leads>;

// Where each lead of standard_leads() stands in the record; names are compared without case. Throws
// InputError where the record has another number of signals or lacks a lead.
LeadColumns lead_columns(const WfdbHeader& header);
// Brings samples [length, 12] into the order of standard_leads().
void reorder_leads(std::vector<std::int16_t>& samples, const LeadColumns& columns);

struct EcgRecord {
  std::filesystem::path path;     // of the header
  std::string name;               // the header's file name without its ending
  double rate = 0.0;              // Hz
  std::vector<float> millivolts;  // [length, 12] in the order of standard_leads(); NaN: missing

  std::int64_t length() const {
    return static_cast<std::int64_t>(millivolts.size()) / packed_leads;
  }
};

// `path` with or without ".hea"; gains, baselines and units of mV, uV and V are the record's own.
// `denoise`: what the records of a packed file went through. Throws InputError, naming the file.
EcgRecord read_ecg_record(const std::filesystem::path& path,
                          const std::optional<DenoiseSpec>& denoise = {});

// The headers that `path` names: a record with or without ".hea" (or its ".dat"), or all those
// directly in a folder, by name. Throws InputError for a folder without any.
std::vector<std::filesystem::path> find_ecg_records(const std::filesystem::path& path);

}  // namespace cardiograd
