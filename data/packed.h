// The packed data set: one safetensors file that every run maps.
//
//   signal         i16 [records, length, 12]  ADC units as stored; missing_sample where there is
//   none likelihood     f32 [records, statements]  0 .. 100; -1: the statement is absent age f32
//   [records]              years; NaN unknown; 300 stands for above 89 notes          f32 [records,
//   768]         data/notes.h; optional note_idf       f32 [65536]                the weights
//   behind notes; optional ecg_id         i32 [records] patient_id     i32 [records] report_offsets
//   i32 [records + 1]          report r is report_bytes[offsets[r] .. offsets[r + 1]) fold u8
//   [records]              1 .. 10 sex            u8  [records]              0 male, 1 female, 255
//   unknown validated      u8  [records]              1: validated by a human report_bytes   u8
//   [total]                UTF-8
// Metadata: format = "cardiograd-packed", version = "1", rate in Hz, leads and adc_gain (ADC units
// per mV, one a lead; the baseline is 0) and statements as JSON, source, and denoise where the
// signals were denoised (data/denoise.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/denoise.h"
#include "data/ptbxl.h"
#include "nn/safetensors.h"

namespace cardiograd {

inline constexpr int packed_leads = 12;
inline constexpr int packed_seconds = 10;

// I, II, III, AVR, AVL, AVF, V1 .. V6: the order of the signal's columns.
const std::vector<std::string>& standard_leads();

struct PackedInfo {
  int rate = 100;               // Hz
  std::vector<float> adc_gain;  // [12] ADC units per mV
  std::vector<ScpStatement> statements;
  std::string source;
  std::optional<DenoiseSpec> denoise{};  // what the signals went through
};

// To and from the file's metadata. read_packed_info throws InputError beginning with `where`.
Metadata packed_metadata(const PackedInfo& info);
PackedInfo read_packed_info(const Metadata& metadata, const std::string& where);

// A packed file, mapped: opening reads the small tensors that must be checked, never the signal.
// Spans and views live as long as the object.
class PackedDataset {
 public:
  // Throws InputError, naming file and tensor, where a tensor is missing or of another shape or
  // dtype, a fold lies outside 1 .. 10, the report offsets do not ascend within report_bytes, or
  // the file has another format or version.
  explicit PackedDataset(const std::filesystem::path& path);

  std::int64_t records() const { return records_; }
  std::int64_t length() const { return length_; }  // samples a record
  int rate() const { return info_.rate; }          // Hz
  std::span<const float> adc_gain() const { return info_.adc_gain; }
  const std::vector<ScpStatement>& statements() const { return info_.statements; }
  const std::string& source() const { return info_.source; }
  const std::optional<DenoiseSpec>& denoise() const { return info_.denoise; }
  const std::filesystem::path& path() const { return file_.path(); }

  ConstView signal() const { return signal_; }
  // int16 [length, 12]
  std::span<const std::int16_t> signal(std::int64_t record) const;
  std::span<const float> likelihood() const { return values<float>("likelihood"); }
  std::span<const float> age() const { return values<float>("age"); }
  std::span<const std::int32_t> ecg_id() const { return values<std::int32_t>("ecg_id"); }
  std::span<const std::int32_t> patient_id() const { return values<std::int32_t>("patient_id"); }
  std::span<const std::uint8_t> fold() const { return values<std::uint8_t>("fold"); }
  std::span<const std::uint8_t> sex() const { return values<std::uint8_t>("sex"); }
  std::span<const std::uint8_t> validated() const { return values<std::uint8_t>("validated"); }
  std::string_view report(std::int64_t record) const;

  bool has_notes() const { return file_.contains("notes"); }
  // f32 [records, 768] and f32 [65536]; InputError where the file has none.
  std::span<const float> notes() const { return values<float>("notes"); }
  std::span<const float> note_idf() const { return values<float>("note_idf"); }

  // Lets signal and notes of records first .. first + count - 1 leave resident memory; they are
  // read again when touched.
  void release(std::int64_t first, std::int64_t count) const;

 private:
  template <class T>
  std::span<const T> values(const char* name) const {
    const ConstView view = file_.view(name);
    return {view.as<T>(), static_cast<std::size_t>(view.numel())};
  }
  void check_shapes() const;
  void check_values() const;

  SafetensorsFile file_;
  PackedInfo info_;
  ConstView signal_;
  std::int64_t records_ = 0;
  std::int64_t length_ = 0;
};

}  // namespace cardiograd
