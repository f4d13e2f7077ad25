// What gather_records asks of its shapes and its specification on every device.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/backend.h"
#include "kernels/checks.h"

namespace cardiograd {

// The longest crop whose deviations the CPU sums exactly in 32 bits.
inline constexpr std::int64_t most_noise_samples = 16 * 32768;

inline void check_augmentation(const AugmentSpec& spec) {
  for (const double p : {spec.shift, spec.amplitude, spec.wander, spec.hum, spec.lead_dropout,
                         spec.mask, spec.mask_share}) {
    CG_CHECK(p >= 0.0 && p <= 1.0,
             "gather_records: a probability lies in [0, 1], got " + std::to_string(p));
  }
  CG_CHECK(spec.noise >= 0.0 && spec.shift_most >= 0 && spec.rate > 0.0,
           "gather_records: noise and shift are at least 0, the rate is positive");
  CG_CHECK(spec.mask_shortest >= 1 && spec.mask_shortest <= spec.mask_longest,
           "gather_records: masks of " + std::to_string(spec.mask_shortest) + " to " +
               std::to_string(spec.mask_longest) + " samples");
}

// Throws ShapeError unless the operands fit. Whether the rows exist is not looked at.
inline void check_gather(const GatherSpec& spec, const GatherOperands& x, const View& y) {
  constexpr const char* operation = "gather_records";
  const Dims& records = x.records.dims;
  CG_CHECK(records.rank() == 3 && y.dims.rank() == 3 && records[2] <= y.dims[2] &&
               (records[2] > 0 || y.dims[2] == 0) && y.dims[1] <= records[1],
           misfit(operation, records, y.dims));
  const std::int64_t leads = records[2];
  const std::int64_t count = y.dims[0];
  require_vector(operation, x.scale.dims, leads);
  require_vector(operation, x.shift.dims, leads);
  require_vector(operation, x.rows.dims, count);
  if (x.keys.present()) require_vector(operation, x.keys.dims, count);
  if (x.partners.present()) {
    require_vector(operation, x.shares.dims, count);
    require_vector(operation, x.partners.dims, count);
  }
  if (spec.augment.wander > 0.0 || spec.augment.hum > 0.0) {
    CG_CHECK(x.gain.present(), "gather_records: wander and hum need the gain of each lead");
    require_vector(operation, x.gain.dims, leads);
  }
  CG_CHECK(spec.augment.noise == 0.0 || y.dims[1] <= most_noise_samples,
           "gather_records: noise is for at most " + std::to_string(most_noise_samples) +
               " samples a record");
  check_augmentation(spec.augment);
}

}  // namespace cardiograd
