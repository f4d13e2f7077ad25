// Packed files for tests, written without PTB-XL's tables and records.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/notes.h"
#include "data/packed.h"

namespace cardiograd::testing {

// Contents of a packed file with the statements "MI" and "NORM" (superclasses of the same names)
// and one more, "SR", of no diagnostic class. Record r has the ecg_id 100 + r.
struct SmallPacked {
  std::int64_t records = 0;
  std::int64_t length = 0;  // samples
  int rate = 100;
  std::vector<std::int16_t> signal;  // [records, length, 12]
  std::vector<float> likelihood;     // [records, 3]: MI, NORM, SR
  std::vector<std::uint8_t> fold;    // [records]
  std::vector<float> notes;          // [records, 768], or empty: without notes
  std::optional<DenoiseSpec> denoise;

  // Record r has fold r % 10 + 1, the labels MI (r % 3 == 0), NORM (r % 3 == 1) or none, and
  // samples that tell record, time and lead.
  SmallPacked(std::int64_t records, std::int64_t length);

  std::filesystem::path write(const std::filesystem::path& path) const;
};

}  // namespace cardiograd::testing
