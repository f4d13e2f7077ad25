// WFDB records: a text header (.hea) and one or more signal files (.dat), as described in
// https://physionet.org/physiotools/wag/header-5.htm and signal-5.htm.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cardiograd {

// How a missing sample stands in memory, whatever the format on disk.
inline constexpr std::int16_t missing_sample = INT16_MIN;

struct WfdbSignal {
  std::string file;  // beside the header
  int format = 16;   // 16 or 212
  int samples_per_frame = 1;
  int skew = 0;                  // samples
  std::int64_t byte_offset = 0;  // of the first sample in the file
  double gain = 200;             // ADC units per physical unit
  int baseline = 0;              // ADC units at 0 physical units
  std::string units = "mV";
  int adc_resolution = 12;  // bits
  int adc_zero = 0;
  int initial_value = 0;
  std::optional<std::uint16_t> checksum;  // sum of the stored samples mod 65536
  int block_size = 0;
  std::string description;  // the lead's name in PTB-XL
  int line = 0;             // of the header
};

struct WfdbHeader {
  std::filesystem::path path;  // of the header
  std::string name;
  double frequency = 250;  // frames per second
  double counter_frequency = 250;
  double base_counter = 0;
  std::int64_t length = 0;  // frames; 0: not given, the signal file's size tells
  std::vector<WfdbSignal> signals;
  std::vector<std::string> comments;  // without "#"
};

// Reads a header from its text. Throws InputError "PATH, line N: ..." for what the format does not
// allow, for a wrong number of signal lines, for multi-segment records and for signal formats other
// than 16 and 212. Base time and date are passed over.
WfdbHeader parse_wfdb_header(std::string_view text, const std::filesystem::path& path);

// The same from a file: `path` with or without ".hea".
WfdbHeader read_wfdb_header(const std::filesystem::path& path);

// The samples that `header` describes, int16 [length, signals], time-major as stored; `samples` is
// resized. Throws InputError for a missing or truncated signal file, a wrong checksum, several
// samples per frame or skewed signals.
void read_wfdb_samples(const WfdbHeader& header, std::vector<std::int16_t>& samples);

struct WfdbRecord {
  WfdbHeader header;
  std::vector<std::int16_t> samples;  // [length, signals]

  std::int64_t length() const {
    return header.signals.empty()
               ? 0
               : static_cast<std::int64_t>(samples.size() / header.signals.size());
  }
};

WfdbRecord read_wfdb_record(const std::filesystem::path& path);

// Writes `record`.dat (format 16) and `record`.hea with right checksums, in the published PTB-XL's
// style. samples is [length, leads]; gain is in ADC units per mV. Both files are renamed into
// place, but not synced: data sets have tens of thousands of them.
void write_wfdb_record(const std::filesystem::path& record, double frequency, double gain,
                       std::span<const std::string> leads, std::span<const std::int16_t> samples);

}  // namespace cardiograd
