#include "data/packed.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/notes.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/strict_json.h"

namespace cardiograd {
namespace {

using nlohmann::json;

constexpr const char* format_name = "cardiograd-packed";
constexpr const char* format_version = "1";

const std::string& required(const Metadata& metadata, const std::string& key,
                            const std::string& where) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    throw InputError(where + " has no metadata " + quote(key) +
                     "; it is no packed data set, make one with cardiograd prepare");
  }
  return found->second;
}

// Reads one metadata entry as JSON and converts it; what does not fit is the file's fault.
template <class Convert>
auto from_json(const Metadata& metadata, const std::string& key, const std::string& where,
               Convert convert) {
  const json value = parse_strict_json(required(metadata, key, where), where, 4);
  try {
    return convert(value);
  } catch (const json::exception&) {
    throw InputError(where + ": the metadata " + quote(key) + " has an unexpected shape");
  }
}

ScpStatement statement_from(const json& value) {
  return {value.at("code"),
          value.at("description"),
          value.at("diagnostic"),
          value.at("form"),
          value.at("rhythm"),
          value.at("diagnostic_class"),
          value.at("diagnostic_subclass")};
}

}  // namespace

const std::vector<std::string>& standard_leads() {
  static const std::vector<std::string> leads = {"I",  "II", "III", "AVR", "AVL", "AVF",
                                                 "V1", "V2", "V3",  "V4",  "V5",  "V6"};
  return leads;
}

Metadata packed_metadata(const PackedInfo& info) {
  json statements = json::array();
  for (const ScpStatement& s : info.statements) {
    statements.push_back({{"code", s.code},
                          {"description", s.description},
                          {"diagnostic", s.diagnostic},
                          {"form", s.form},
                          {"rhythm", s.rhythm},
                          {"diagnostic_class", s.diagnostic_class},
                          {"diagnostic_subclass", s.diagnostic_subclass}});
  }
  const auto text = [](const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
  };
  Metadata metadata{{"format", format_name},
                    {"version", format_version},
                    {"rate", std::to_string(info.rate)},
                    {"leads", text(standard_leads())},
                    {"adc_gain", text(info.adc_gain)},
                    {"statements", text(statements)},
                    {"source", info.source}};
  if (info.denoise) metadata["denoise"] = info.denoise->to_string();
  return metadata;
}

PackedInfo read_packed_info(const Metadata& metadata, const std::string& where) {
  if (required(metadata, "format", where) != format_name) {
    throw InputError(where + " is no packed data set; make one with cardiograd prepare");
  }
  const std::string version = required(metadata, "version", where);
  if (version != format_version) {
    throw InputError(where + " is a packed data set of version " + quote(version) +
                     ", but this program reads version " + format_version +
                     "; make it again with cardiograd prepare");
  }
  PackedInfo info;
  if (!parse_number(required(metadata, "rate", where), info.rate) || info.rate < 1) {
    throw InputError(where + ": the metadata \"rate\" is no number of samples per second");
  }
  info.source = required(metadata, "source", where);
  if (const auto found = metadata.find("denoise"); found != metadata.end()) {
    info.denoise = parse_denoise(found->second, where + ": the metadata \"denoise\"");
  }
  const auto leads = from_json(metadata, "leads", where, [](const json& value) {
    return value.get<std::vector<std::string>>();
  });
  if (leads != standard_leads()) {
    throw InputError(where + ": the metadata \"leads\" is not " + join(standard_leads()));
  }
  info.adc_gain = from_json(metadata, "adc_gain", where,
                            [](const json& value) { return value.get<std::vector<float>>(); });
  if (info.adc_gain.size() != packed_leads ||
      !std::all_of(info.adc_gain.begin(), info.adc_gain.end(),
                   [](float gain) { return std::isfinite(gain) && gain != 0; })) {
    throw InputError(where + ": the metadata \"adc_gain\" is not 12 numbers other than 0");
  }
  info.statements = from_json(metadata, "statements", where, [](const json& value) {
    std::vector<ScpStatement> statements;
    for (const json& entry : value) statements.push_back(statement_from(entry));
    return statements;
  });
  return info;
}

PackedDataset::PackedDataset(const std::filesystem::path& path)
    : file_(path), info_(read_packed_info(file_.metadata(), path.string())) {
  signal_ = file_.view("signal");
  if (signal_.dtype != DType::i16 || signal_.dims.rank() != 3 || signal_.dims[2] != packed_leads) {
    throw InputError(path.string() + ": tensor \"signal\" is " +
                     std::string(name_of(signal_.dtype)) + " " + signal_.dims.to_string() +
                     ", where i16 [records, length, 12] is expected");
  }
  records_ = signal_.dims[0];
  length_ = signal_.dims[1];
  check_shapes();
  check_values();
}

void PackedDataset::check_shapes() const {
  const auto statements = static_cast<std::int64_t>(info_.statements.size());
  file_.view("likelihood", DType::f32, {records_, statements});
  file_.view("age", DType::f32, {records_});
  file_.view("ecg_id", DType::i32, {records_});
  file_.view("patient_id", DType::i32, {records_});
  file_.view("fold", DType::u8, {records_});
  file_.view("sex", DType::u8, {records_});
  file_.view("validated", DType::u8, {records_});
  file_.view("report_offsets", DType::i32, {records_ + 1});
  file_.view("report_bytes", DType::u8, {file_.view("report_bytes").numel()});
  if (has_notes()) {
    file_.view("notes", DType::f32, {records_, note_dimensions});
    file_.view("note_idf", DType::f32, {note_buckets});
  }
}

void PackedDataset::check_values() const {
  const std::string where = file_.path().string();
  for (const std::uint8_t value : fold()) {
    if (value < 1 || value > 10) {
      throw InputError(where + ": tensor \"fold\" has the value " + std::to_string(value) +
                       ", where 1 to 10 are expected");
    }
  }
  const auto offsets = values<std::int32_t>("report_offsets");
  const std::int64_t bytes = file_.view("report_bytes").numel();
  if (offsets.front() != 0 || std::int64_t{offsets.back()} != bytes ||
      !std::is_sorted(offsets.begin(), offsets.end())) {
    throw InputError(where +
                     ": tensor \"report_offsets\" does not ascend from 0 to the length of "
                     "\"report_bytes\"");
  }
}

std::span<const std::int16_t> PackedDataset::signal(std::int64_t record) const {
  CG_CHECK(record >= 0 && record < records_,
           "record " + std::to_string(record) + " of " + std::to_string(records_));
  const std::int64_t size = length_ * packed_leads;
  return {signal_.as<std::int16_t>() + record * size, static_cast<std::size_t>(size)};
}

std::string_view PackedDataset::report(std::int64_t record) const {
  CG_CHECK(record >= 0 && record < records_,
           "record " + std::to_string(record) + " of " + std::to_string(records_));
  const auto offsets = values<std::int32_t>("report_offsets");
  const auto bytes = values<std::uint8_t>("report_bytes");
  const auto begin = static_cast<std::size_t>(offsets[static_cast<std::size_t>(record)]);
  const auto end = static_cast<std::size_t>(offsets[static_cast<std::size_t>(record) + 1]);
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
      .substr(begin, end - begin);
}

void PackedDataset::release(std::int64_t first, std::int64_t count) const {
  CG_CHECK(first >= 0 && count >= 0 && first + count <= records_,
           "records " + std::to_string(first) + " to " + std::to_string(first + count) + " of " +
               std::to_string(records_));
  const std::int64_t size = length_ * packed_leads;
  file_.release({signal_.as<std::int16_t>() + first * size, DType::i16, {count * size}});
  if (!has_notes()) return;
  file_.release({notes().data() + first * note_dimensions, DType::f32, {count * note_dimensions}});
}

}  // namespace cardiograd
