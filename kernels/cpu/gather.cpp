// int16 samples of chosen records to finished floats, in one pass.
#include <algorithm>
#include <optional>

#include "kernels/cpu/augment.h"
#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/gather_checks.h"

namespace cardiograd {
namespace {

constexpr const char* operation = "gather_records";

void check_rows(const char* what, const ConstView& rows, const Dims& records) {
  const auto* row = rows.as<std::int32_t>();
  for (std::int64_t n = 0; n < rows.dims[0]; ++n) {
    CG_CHECK(row[n] >= 0 && row[n] < records[0],
             std::string(operation) + ": " + what + "[" + std::to_string(n) +
                 "] = " + std::to_string(row[n]) + " does not exist in records of shape " +
                 records.to_string());
  }
}

void check_operands(const GatherSpec& spec, const GatherOperands& x, const View& y) {
  require_f32(operation, {x.scale, x.shift, y});
  check_gather(spec, x, y);
  check_rows("rows", x.rows, x.records.dims);
  if (x.partners.present()) {
    require_f32(operation, {x.shares});
    check_rows("partners", x.partners, x.records.dims);
  }
  if (x.gain.present()) require_f32(operation, {x.gain});
}

}  // namespace

CARDIOGRAD_CLONES
void convert_samples(const std::int16_t* __restrict x, const float* __restrict scale,
                     const float* __restrict shift, std::int64_t period, float missing,
                     std::int64_t count, float* __restrict y) {
  for (std::int64_t done = 0; done < count; done += period) {
    const std::int64_t now = std::min(period, count - done);
    for (std::int64_t i = 0; i < now; ++i) {
      const std::int16_t sample = x[done + i];
      const float value = static_cast<float>(sample) * scale[i] + shift[i];
      y[done + i] = sample == missing_sample_code ? missing : value;
    }
  }
}

namespace {

// Records without augmentation: the centre crop.
class PlainGather {
 public:
  PlainGather(const GatherOperands& x, std::int64_t leads, BlockCache& blocks)
      : period_(leads * vector * ((least + leads * vector - 1) / (leads * vector))),
        pattern_(blocks, 2 * period_) {
    for (std::int64_t i = 0; i < period_; ++i) {
      pattern_[i] = floats(x.scale)[i % leads];
      pattern_[period_ + i] = floats(x.shift)[i % leads];
    }
  }
  std::int64_t period() const { return period_; }
  void write(const std::int16_t* samples, float missing, std::int64_t count, float* y) const {
    convert_samples(samples, pattern_.data(), pattern_.data() + period_, period_, missing, count,
                    y);
  }

 private:
  // Scale and shift repeated over whole vectors, so that the inner loop is long and free of
  // remainders: 192 elements for 12 leads.
  static constexpr std::int64_t vector = 16;
  static constexpr std::int64_t least = 192;
  std::int64_t period_;
  Scratch<float> pattern_;
};

// [rows, channels] of [rows, leads]: zeros behind the leads.
void widen(const float* narrow, std::int64_t rows, std::int64_t leads, std::int64_t channels,
           float* y) {
  for (std::int64_t t = 0; t < rows; ++t) {
    std::copy_n(narrow + t * leads, leads, y + t * channels);
    std::fill_n(y + t * channels + leads, channels - leads, 0.0F);
  }
}

}  // namespace

void CpuBackend::gather_records(const GatherSpec& spec, const GatherOperands& x, View y) {
  check_operands(spec, x, y);
  if (y.numel() == 0) return;
  const std::int64_t length = x.records.dims[1];
  const std::int64_t crop = y.dims[1];
  const std::int64_t leads = x.records.dims[2];
  const std::int64_t channels = y.dims[2];
  const std::int64_t width = crop * leads;
  const auto* samples = x.records.as<std::int16_t>();
  const auto* rows = x.rows.as<std::int32_t>();
  const auto* keys = x.keys.present() ? x.keys.as<std::int32_t>() : rows;
  const auto* partners = x.partners.present() ? x.partners.as<std::int32_t>() : nullptr;
  const bool augments = spec.augment.changes_signal() || partners != nullptr;
  const std::int64_t centre = (length - crop) / 2 * leads;
  const auto missing = static_cast<float>(spec.missing);
  const PlainGather plain(x, leads, *blocks_);
  // Records are cut into pieces where nothing is decided for a whole record.
  const std::int64_t piece =
      augments || channels > leads
          ? width
          : plain.period() * std::max<std::int64_t>(1, parallel_grain / plain.period());
  const std::int64_t pieces = (width + piece - 1) / piece;
  parallel_rows(
      y.dims[0] * pieces, std::min(width, piece), [&](std::int64_t begin, std::int64_t end) {
        std::optional<RecordAugmenter> augmenter;
        if (augments) augmenter.emplace(spec, x, crop, *blocks_);
        const Scratch<float> narrow(*blocks_, channels > leads ? width : 0);
        for (std::int64_t item = begin; item < end; ++item) {
          const std::int64_t n = item / pieces;
          const std::int64_t first = item % pieces * piece;
          const std::int16_t* record = samples + rows[n] * length * leads;
          float* whole = floats(y) + n * crop * channels;
          float* to = channels > leads ? narrow.data() : whole + first;
          if (augmenter && keys[n] >= spec.augment.first_key) {
            RecordToAugment one{static_cast<std::uint32_t>(keys[n]), record};
            if (partners != nullptr) {
              one.partner = samples + partners[n] * length * leads;
              one.share = floats(x.shares)[n];
            }
            augmenter->write(one, to);
          } else {
            plain.write(record + centre + first, missing, std::min(piece, width - first), to);
          }
          if (channels > leads) widen(to, crop, leads, channels, whole);
        }
      });
}

}  // namespace cardiograd
