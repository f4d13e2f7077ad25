#include "data/ecg_record.h"

#include <algorithm>
#include <limits>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

double millivolts_per_unit(const WfdbHeader& header, const WfdbSignal& signal) {
  if (signal.units == "mV") return 1.0;
  if (signal.units == "uV" || signal.units == "µV") return 1e-3;
  if (signal.units == "V") return 1e3;
  throw InputError(header.path.string() + ", line " + std::to_string(signal.line) + ": lead " +
                   quote(signal.description) + " is in " + quote(signal.units) +
                   ", where mV, uV or V is expected");
}

}  // namespace

LeadColumns lead_columns(const WfdbHeader& header) {
  if (header.signals.size() != packed_leads) {
    throw InputError(header.path.string() + " has " + std::to_string(header.signals.size()) +
                     " signals, where the 12 leads are expected");
  }
  LeadColumns columns{};
  for (std::size_t lead = 0; lead < columns.size(); ++lead) {
    const auto found =
        std::find_if(header.signals.begin(), header.signals.end(), [&](const WfdbSignal& signal) {
          return upper(signal.description) == standard_leads()[lead];
        });
    if (found == header.signals.end()) {
      throw InputError(header.path.string() + " has no lead " + standard_leads()[lead]);
    }
    columns[lead] = static_cast<std::size_t>(found - header.signals.begin());
  }
  return columns;
}

void reorder_leads(std::vector<std::int16_t>& samples, const LeadColumns& columns) {
  if (std::is_sorted(columns.begin(), columns.end())) return;
  std::array<std::int16_t, packed_leads> frame{};
  for (std::size_t at = 0; at < samples.size(); at += packed_leads) {
    std::copy_n(&samples[at], packed_leads, frame.begin());
    for (std::size_t lead = 0; lead < packed_leads; ++lead) {
      samples[at + lead] = frame[columns[lead]];
    }
  }
}

EcgRecord read_ecg_record(const fs::path& path, const std::optional<DenoiseSpec>& denoise) {
  WfdbRecord wfdb{read_wfdb_header(path), {}};
  const LeadColumns columns = lead_columns(wfdb.header);
  std::vector<double> unit;
  for (const std::size_t column : columns) {
    unit.push_back(millivolts_per_unit(wfdb.header, wfdb.header.signals[column]));
  }
  read_wfdb_samples(wfdb.header, wfdb.samples);
  reorder_leads(wfdb.samples, columns);
  if (denoise) denoise_record(*denoise, packed_leads, wfdb.samples);

  EcgRecord record{wfdb.header.path, wfdb.header.path.stem().string(), wfdb.header.frequency, {}};
  record.millivolts.reserve(wfdb.samples.size());
  for (std::size_t i = 0; i < wfdb.samples.size(); ++i) {
    const std::size_t lead = i % packed_leads;
    const WfdbSignal& signal = wfdb.header.signals[columns[lead]];
    const double value = (wfdb.samples[i] - signal.baseline) / signal.gain * unit[lead];
    record.millivolts.push_back(wfdb.samples[i] == missing_sample
                                    ? std::numeric_limits<float>::quiet_NaN()
                                    : static_cast<float>(value));
  }
  return record;
}

std::vector<fs::path> find_ecg_records(const fs::path& path) {
  if (!fs::is_directory(path)) {
    fs::path header = path;
    if (path.extension() == ".dat") return {header.replace_extension(".hea")};
    if (path.extension() != ".hea") header += ".hea";
    return {header};
  }
  std::vector<fs::path> headers;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".hea") headers.push_back(entry.path());
  }
  if (headers.empty()) throw InputError(path.string() + " holds no record (no .hea file)");
  std::sort(headers.begin(), headers.end());
  return headers;
}

}  // namespace cardiograd
