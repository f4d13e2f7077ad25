// int16 samples of chosen records to standardised floats, in one pass.
#include <algorithm>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"

namespace cardiograd {
namespace {

constexpr std::int16_t missing_sample = -32768;

// y = x scale + shift over `count` elements; the pattern of scale and shift has `period`
// elements and starts with the first sample.
CARDIOGRAD_CLONES
void convert_samples(const std::int16_t* __restrict x, const float* __restrict scale,
                     const float* __restrict shift, std::int64_t period, float missing,
                     std::int64_t count, float* __restrict y) {
  for (std::int64_t done = 0; done < count; done += period) {
    const std::int64_t now = std::min(period, count - done);
    for (std::int64_t i = 0; i < now; ++i) {
      const std::int16_t sample = x[done + i];
      const float value = static_cast<float>(sample) * scale[i] + shift[i];
      y[done + i] = sample == missing_sample ? missing : value;
    }
  }
}

void check_records(const ConstView& records, const ConstView& rows, const ConstView& starts,
                   const View& y) {
  const std::int64_t length = records.dims[1];
  const std::int64_t crop = y.dims[1];
  const auto* row = rows.as<std::int32_t>();
  const auto* start = starts.present() ? starts.as<std::int32_t>() : nullptr;
  CG_CHECK(start != nullptr || crop <= length, misfit("gather_records", records.dims, y.dims));
  for (std::int64_t n = 0; n < y.dims[0]; ++n) {
    CG_CHECK(row[n] >= 0 && row[n] < records.dims[0],
             "gather_records: rows[" + std::to_string(n) + "] = " + std::to_string(row[n]) +
                 " does not exist in records of shape " + records.dims.to_string());
    CG_CHECK(start == nullptr || (start[n] >= 0 && start[n] <= length - crop),
             "gather_records: starts[" + std::to_string(n) + "] = " + std::to_string(start[n]) +
                 " leaves fewer than " + std::to_string(crop) + " samples in records of shape " +
                 records.dims.to_string());
  }
}

}  // namespace

void CpuBackend::gather_records(const GatherSpec& spec, ConstView records, ConstView rows,
                                ConstView starts, ConstView scale, ConstView shift, View y) {
  require_f32("gather_records", {scale, shift, y});
  CG_CHECK(records.dims.rank() == 3 && y.dims.rank() == 3 && records.dims[2] == y.dims[2],
           misfit("gather_records", records.dims, y.dims));
  const std::int64_t leads = y.dims[2];
  require_vector("gather_records", scale.dims, leads);
  require_vector("gather_records", shift.dims, leads);
  require_vector("gather_records", rows.dims, y.dims[0]);
  if (starts.present()) require_vector("gather_records", starts.dims, y.dims[0]);
  const auto* samples = records.as<std::int16_t>();
  check_records(records, rows, starts, y);
  if (y.numel() == 0) return;
  // Scale and shift repeated over whole vectors, so that the inner loop is long and free of
  // remainders: 192 elements for 12 leads.
  constexpr std::int64_t vector = 16;
  constexpr std::int64_t least = 192;
  const std::int64_t period = leads * vector * ((least + leads * vector - 1) / (leads * vector));
  const Scratch<float> pattern(*blocks_, 2 * period);
  for (std::int64_t i = 0; i < period; ++i) {
    pattern[i] = floats(scale)[i % leads];
    pattern[period + i] = floats(shift)[i % leads];
  }
  const std::int64_t width = y.dims[1] * leads;
  const std::int64_t piece = period * std::max<std::int64_t>(1, parallel_grain / period);
  const std::int64_t pieces = (width + piece - 1) / piece;
  const auto* row = rows.as<std::int32_t>();
  const auto* start = starts.present() ? starts.as<std::int32_t>() : nullptr;
  const auto missing = static_cast<float>(spec.missing);
  parallel_rows(
      y.dims[0] * pieces, std::min(width, piece), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t item = begin; item < end; ++item) {
          const std::int64_t n = item / pieces;
          const std::int64_t first = item % pieces * piece;
          const std::int64_t sample = row[n] * records.dims[1] + (start != nullptr ? start[n] : 0);
          convert_samples(samples + sample * leads + first, pattern.data(), pattern.data() + period,
                          period, missing, std::min(piece, width - first),
                          floats(y) + n * width + first);
        }
      });
}

}  // namespace cardiograd
