// Records by number, cropped and scaled.
#include <limits>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

void ReferenceBackend::gather_records(const GatherSpec& spec, ConstView records, ConstView rows,
                                      ConstView starts, ConstView scale, ConstView shift, View y) {
  const reference::Sequence from = reference::sequence_of(records.dims);
  const reference::Sequence to = reference::sequence_of(y.dims);
  CG_CHECK(from.channels == to.channels,
           "gather keeps the leads: " + records.dims.to_string() + " to " + y.dims.to_string());
  reference::check_channels(rows.dims, to.batch);
  if (starts.present()) reference::check_channels(starts.dims, to.batch);
  reference::check_channels(scale.dims, to.channels);
  reference::check_channels(shift.dims, to.channels);
  for (std::int64_t n = 0; n < to.batch; ++n) {
    const std::int64_t row = rows.as<std::int32_t>()[n];
    const std::int64_t start = starts.present() ? starts.as<std::int32_t>()[n] : 0;
    CG_CHECK(row >= 0 && row < from.batch, "record " + std::to_string(row) + " does not exist");
    CG_CHECK(start >= 0 && start + to.length <= from.length,
             "a crop from " + std::to_string(start) + " leaves its record");
    for (std::int64_t t = 0; t < to.length; ++t) {
      for (std::int64_t c = 0; c < to.channels; ++c) {
        const std::int16_t sample = records.as<std::int16_t>()[from.at(row, start + t, c)];
        const bool missing = sample == std::numeric_limits<std::int16_t>::min();
        y.as<double>()[to.at(n, t, c)] =
            missing ? spec.missing
                    : static_cast<double>(sample) * static_cast<double>(scale.as<float>()[c]) +
                          static_cast<double>(shift.as<float>()[c]);
      }
    }
  }
}

}  // namespace cardiograd
