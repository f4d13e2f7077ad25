// The CPU's augmented gathering of one record, private to kernels/cpu.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cpu/block_cache.h"

namespace cardiograd {

inline constexpr std::int16_t missing_sample_code = -32768;

// y = x scale + shift over `count` elements; the pattern of scale and shift has `period` elements
// and starts with the first sample. Missing samples become `missing`.
void convert_samples(const std::int16_t* x, const float* scale, const float* shift,
                     std::int64_t period, float missing, std::int64_t count, float* y);

// A record as gather_records names it.
struct RecordToAugment {
  std::uint32_t key = 0;
  const std::int16_t* samples = nullptr;  // [L, C]
  const std::int16_t* partner = nullptr;  // null: no mixup
  float share = 1.0F;
};

// Writes y [crop, leads] of one record, piece by piece in the first cache.
class RecordAugmenter {
 public:
  RecordAugmenter(const GatherSpec& spec, const GatherOperands& x, std::int64_t crop,
                  BlockCache& blocks);
  void write(const RecordToAugment& record, float* y);

 private:
  struct Source;
  void plan(const RecordToAugment& record);
  void add_lead_variances(const std::int16_t* samples, double weight);
  void set_noise(const RecordToAugment& record);
  void write_chunk(const RecordToAugment& record, std::int64_t first_row, std::int64_t rows,
                   float* y);
  const std::int16_t* fetch(const Source& source, std::int64_t first_row, std::int64_t rows,
                            std::int16_t* buffer) const;
  void mask(std::uint32_t key, float* y) const;
  // A pattern of one value a lead, repeated over a chunk.
  template <class Value>
  void fill_pattern(float* pattern, const Value& value) const;
  float* values(std::int64_t slot) const { return floats_.data() + slot * chunk_; }

  const GatherSpec& spec_;
  const GatherOperands& x_;
  std::int64_t length_, crop_, leads_;
  std::int64_t chunk_rows_, chunk_;  // a chunk's samples, and its elements
  Scratch<float> floats_;
  Scratch<std::int16_t> samples_;
  Scratch<std::int32_t> sums_;
  Scratch<LeadPlan> leads_plan_;
  RecordPlan plan_;
  bool waves_ = false;
};

}  // namespace cardiograd
