// Dropout with counter-based draws (Philox), several blocks of four words at a time.
#include <array>
#include <cmath>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/cpu_backend_impl.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/philox_lanes.h"
#include "kernels/dropout_checks.h"

namespace cardiograd {
namespace {

constexpr std::int64_t chunk = philox_words;
constexpr std::int64_t element_grain = 4096;  // a multiple of chunk

// y = x scaled where the draw's upper 24 bits reach `threshold`, 0 elsewhere, for the elements
// first .. first + count - 1 of a record; first is a multiple of 4.
CARDIOGRAD_CLONES
void drop_elements(const PhiloxStream& stream, std::uint32_t threshold, float scale,
                   std::int64_t first, const float* __restrict x, float* __restrict y,
                   std::int64_t count) {
  std::uint32_t words[chunk];
  for (std::int64_t done = 0; done < count; done += chunk) {
    draw_words(stream, static_cast<std::uint32_t>((first + done) / 4), words);
    const std::int64_t now = std::min(chunk, count - done);
    for (std::int64_t i = 0; i < now; ++i) {
      y[done + i] = (words[i] >> 8) >= threshold ? x[done + i] * scale : 0.0F;
    }
  }
}

// The same for whole channels: x and y are rows of `pitch` channels, of which these are
// channels first .. first + count - 1 (at most a chunk).
CARDIOGRAD_CLONES
void drop_channels(const PhiloxStream& stream, std::uint32_t threshold, float scale,
                   std::int64_t first, const float* __restrict x, float* __restrict y,
                   std::int64_t rows, std::int64_t pitch, std::int64_t count) {
  std::uint32_t words[chunk];
  draw_words(stream, static_cast<std::uint32_t>(first / 4), words);
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = x + row * pitch;
    float* to = y + row * pitch;
    for (std::int64_t i = 0; i < count; ++i) {
      to[i] = (words[i] >> 8) >= threshold ? from[i] * scale : 0.0F;
    }
  }
}

struct Operands {
  DropoutSpec spec;
  const std::int32_t* records;
  const float* x;
  float* y;
  std::uint32_t threshold;
  float scale;

  PhiloxStream stream(std::int64_t n) const {
    const auto record =
        records != nullptr ? static_cast<std::uint32_t>(records[n]) : static_cast<std::uint32_t>(n);
    return {spec.key, record};
  }
};

void element_dropout(const Operands& o, std::int64_t count, std::int64_t width) {
  const std::int64_t pieces = (width + element_grain - 1) / element_grain;
  parallel_rows(count * pieces, 4 * std::min(width, element_grain),
                [&](std::int64_t begin, std::int64_t end) {
                  for (std::int64_t item = begin; item < end; ++item) {
                    const std::int64_t n = item / pieces;
                    const std::int64_t first = item % pieces * element_grain;
                    const std::int64_t at = n * width + first;
                    drop_elements(o.stream(n), o.threshold, o.scale, first, o.x + at, o.y + at,
                                  std::min(element_grain, width - first));
                  }
                });
}

void channel_dropout(const Operands& o, std::int64_t count, std::int64_t length,
                     std::int64_t channels) {
  const std::int64_t slab = std::max<std::int64_t>(1, parallel_grain / channels);
  const std::int64_t slabs = (length + slab - 1) / slab;
  parallel_rows(count * slabs, std::min(length, slab) * channels,
                [&](std::int64_t begin, std::int64_t end) {
                  for (std::int64_t item = begin; item < end; ++item) {
                    const std::int64_t n = item / slabs;
                    const std::int64_t row = item % slabs * slab;
                    const std::int64_t rows = std::min(slab, length - row);
                    for (std::int64_t c = 0; c < channels; c += chunk) {
                      const std::int64_t at = (n * length + row) * channels + c;
                      drop_channels(o.stream(n), o.threshold, o.scale, c, o.x + at, o.y + at, rows,
                                    channels, std::min(chunk, channels - c));
                    }
                  }
                });
}

}  // namespace

void CpuBackend::dropout(const DropoutSpec& spec, ConstView records, ConstView x, View y) {
  require_f32("dropout", {x, y});
  check_dropout(spec, records, x, y);
  const std::int64_t count = x.dims[0];
  if (x.numel() == 0) return;
  if (spec.p == 0.0) {
    copy(x, y);
    return;
  }
  if (spec.p == 1.0) {
    fill(y, 0.0);
    return;
  }
  // uniform(word) >= p, in integers: uniform is the word's upper 24 bits over 2^24.
  const auto threshold = static_cast<std::uint32_t>(std::ceil(spec.p * 0x1p24));
  const Operands operands{spec,      records.present() ? records.as<std::int32_t>() : nullptr,
                          floats(x), floats(y),
                          threshold, static_cast<float>(1.0 / (1.0 - spec.p))};
  if (spec.channel) {
    channel_dropout(operands, count, x.dims[1], x.dims[2]);
  } else {
    element_dropout(operands, count, x.numel() / count);
  }
}

}  // namespace cardiograd
