#include "tests/support/small_packed.h"

#include <string>

namespace cardiograd::testing {

SmallPacked::SmallPacked(std::int64_t count, std::int64_t samples)
    : records(count), length(samples) {
  for (std::int64_t r = 0; r < records; ++r) {
    fold.push_back(static_cast<std::uint8_t>(r % 10 + 1));
    likelihood.insert(likelihood.end(),
                      {r % 3 == 0 ? 100.0F : -1.0F, r % 3 == 1 ? 0.0F : -1.0F, 0.0F});
    for (std::int64_t i = 0; i < length * packed_leads; ++i) {
      signal.push_back(static_cast<std::int16_t>((r * 1009 + i * 31) % 4001 - 2000));
    }
  }
}

std::filesystem::path SmallPacked::write(const std::filesystem::path& path) const {
  const PackedInfo info{rate,
                        std::vector<float>(packed_leads, 1000.0F),
                        {{"MI", "infarction", true, false, false, "MI", "MI"},
                         {"NORM", "normal", true, false, false, "NORM", "NORM"},
                         {"SR", "sinus rhythm", false, false, true, "", ""}},
                        "small",
                        denoise};
  const auto rows = static_cast<std::size_t>(records);
  const std::vector<float> age(rows, 50.0F);
  std::vector<std::int32_t> ids;
  for (std::int64_t r = 0; r < records; ++r) ids.push_back(static_cast<std::int32_t>(100 + r));
  const std::vector<std::int32_t> offsets(rows + 1, 0);
  const std::vector<std::uint8_t> zeros(rows, 0);
  const std::vector<float> idf(notes.empty() ? 0 : note_buckets, 1.0F);
  std::vector<NamedView> tensors{
      {"signal", {signal.data(), DType::i16, {records, length, packed_leads}}},
      {"likelihood", {likelihood.data(), DType::f32, {records, 3}}},
      {"age", {age.data(), DType::f32, {records}}},
      {"ecg_id", {ids.data(), DType::i32, {records}}},
      {"patient_id", {ids.data(), DType::i32, {records}}},
      {"report_offsets", {offsets.data(), DType::i32, {records + 1}}},
      {"fold", {fold.data(), DType::u8, {records}}},
      {"sex", {zeros.data(), DType::u8, {records}}},
      {"validated", {zeros.data(), DType::u8, {records}}},
      {"report_bytes", {zeros.data(), DType::u8, {0}}}};
  if (!notes.empty()) {
    tensors.push_back({"notes", {notes.data(), DType::f32, {records, note_dimensions}}});
    tensors.push_back({"note_idf", {idf.data(), DType::f32, {note_buckets}}});
  }
  write_safetensors(path, tensors, packed_metadata(info));
  return path;
}

}  // namespace cardiograd::testing
