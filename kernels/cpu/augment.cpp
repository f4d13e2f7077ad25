#include "kernels/cpu/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/cpu/checks.h"
#include "kernels/cpu/clones.h"
#include "kernels/cpu/philox_lanes.h"
#include "kernels/cpu/vector_math.h"

namespace cardiograd {
namespace {

// What a chunk's floats are used for, one row of `chunk` floats each.
enum Slot : std::int64_t { scale, shift, partner_scale, partner_shift, deviation, extra, slots };

// What is added up for the deviations of the leads, in patterns of sum_rows samples. The squares'
// lower and upper halves apart: whole numbers of 32 bits, exact in any order for most_noise_samples
// samples.
enum Sum : std::int64_t { sum, low_squares, high_squares, missing_count, sums };
constexpr std::int64_t sum_rows = 16;

// y += x scale + shift, as convert_samples.
CARDIOGRAD_CLONES
void add_samples(const std::int16_t* __restrict x, const float* __restrict scale,
                 const float* __restrict shift, float missing, std::int64_t count,
                 float* __restrict y) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(x[i]) * scale[i] + shift[i];
    y[i] += x[i] == missing_sample_code ? missing : value;
  }
}

// y += extra where a or b is there. They may be the same.
CARDIOGRAD_CLONES
void add_where_present(const std::int16_t* a, const std::int16_t* b, const float* __restrict extra,
                       std::int64_t count, float* __restrict y) {
  for (std::int64_t i = 0; i < count; ++i) {
    const bool present = (a[i] != missing_sample_code) | (b[i] != missing_sample_code);
    y[i] += present ? extra[i] : 0.0F;
  }
}

CARDIOGRAD_CLONES
void add_sums(const std::int16_t* __restrict x, std::int64_t count, std::int64_t period,
              std::int32_t* __restrict to) {
  for (std::int64_t done = 0; done < count; done += period) {
    const std::int64_t now = std::min(period, count - done);
    const std::int16_t* from = x + done;
#pragma omp simd
    for (std::int64_t i = 0; i < now; ++i) {
      const bool missing = from[i] == missing_sample_code;
      const std::int32_t value = missing ? 0 : from[i];
      const std::int32_t square = value * value;
      to[i] += value;
      to[low_squares * period + i] += square & 0xffff;
      to[high_squares * period + i] += square >> 16;
      to[missing_count * period + i] += missing ? 1 : 0;
    }
  }
}

// extra += deviation times standard normals (Box & Muller 1958), in groups of philox_words
// elements; first_block is the first group's.
CARDIOGRAD_CLONES
void add_noise(const PhiloxStream& stream, std::uint32_t first_block,
               const float* __restrict deviation, std::int64_t groups, float* __restrict extra) {
  std::uint32_t words[philox_words];
  for (std::int64_t group = 0; group < groups; ++group) {
    draw_lanes<1, philox_lanes>(
        stream, first_block + static_cast<std::uint32_t>(group * philox_lanes), words);
    for (std::int64_t pair = 0; pair < philox_words; pair += 2 * philox_lanes) {
      const std::uint32_t* radius = words + pair;
      const std::uint32_t* angle = radius + philox_lanes;
      const float* from = deviation + group * philox_words + pair;
      float* to = extra + group * philox_words + pair;
#pragma omp simd
      for (std::int64_t i = 0; i < philox_lanes; ++i) {
        // (0, 1], exact in float.
        const float u =
            static_cast<float>(static_cast<std::int32_t>(radius[i] >> 8) + 1) * 0x1p-24F;
        const float r = std::sqrt(-2.0F * vector_math::log_unit(u));
        const vector_math::SineCosine at = vector_math::sine_cosine(angle[i]);
        to[i] += from[i] * r * at.cosine;
        to[i + philox_lanes] += from[i + philox_lanes] * r * at.sine;
      }
    }
  }
}

// y[t] += amplitude sin(phase at sample first + t)
CARDIOGRAD_CLONES
void add_sine(const Oscillator& oscillator, std::int64_t first, float amplitude, std::int64_t count,
              float* __restrict y) {
  const std::uint32_t step = oscillator.step;
  const std::uint32_t phase = oscillator.phase + static_cast<std::uint32_t>(first) * step;
  for (std::int64_t t = 0; t < count; ++t) {
    y[t] += amplitude * vector_math::sine_cosine(phase + static_cast<std::uint32_t>(t) * step).sine;
  }
}

// extra[t, c] = a[t] in_a[c] + b[t] in_b[c]
template <int Leads>
inline __attribute__((always_inline)) void spread(const float* __restrict a,
                                                  const float* __restrict b,
                                                  const float* __restrict in_a,
                                                  const float* __restrict in_b, std::int64_t leads,
                                                  std::int64_t rows, float* __restrict extra) {
  const std::int64_t width = Leads > 0 ? Leads : leads;
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t c = 0; c < width; ++c) extra[t * width + c] = a[t] * in_a[c] + b[t] * in_b[c];
  }
}

CARDIOGRAD_CLONES
void spread_over_leads(const float* a, const float* b, const float* in_a, const float* in_b,
                       std::int64_t leads, std::int64_t rows, float* extra) {
  if (leads == 12) {
    spread<12>(a, b, in_a, in_b, leads, rows, extra);
  } else {
    spread<0>(a, b, in_a, in_b, leads, rows, extra);
  }
}

CARDIOGRAD_CLONES
void draw_mask_words(const PhiloxStream& stream, std::int64_t sample,
                     std::uint32_t* __restrict words) {
  draw_words(stream, static_cast<std::uint32_t>(sample / 4), words);
}

// Samples a chunk has: its elements are whole groups of philox_words.
std::int64_t rows_of_chunk(std::int64_t leads) {
  return philox_words / std::gcd(philox_words, leads);
}

}  // namespace

// One of the two records of a mixup, and the window of it.
struct RecordAugmenter::Source {
  const std::int16_t* samples;  // of the crop's start
  std::int64_t delay;
};

// The last two rows of floats hold what is one value a sample (rows <= chunk) and a lead.
RecordAugmenter::RecordAugmenter(const GatherSpec& spec, const GatherOperands& x, std::int64_t crop,
                                 BlockCache& blocks)
    : spec_(spec),
      x_(x),
      length_(x.records.dims[1]),
      crop_(crop),
      leads_(x.records.dims[2]),
      chunk_rows_(rows_of_chunk(leads_)),
      chunk_(chunk_rows_ * leads_),
      floats_(blocks, slots * chunk_ + 2 * (chunk_rows_ + leads_)),
      samples_(blocks, 2 * chunk_),
      sums_(blocks, sums * sum_rows * leads_),
      leads_plan_(blocks, leads_) {}

template <class Value>
void RecordAugmenter::fill_pattern(float* pattern, const Value& value) const {
  for (std::int64_t c = 0; c < leads_; ++c) {
    pattern[c] = leads_plan_[c].dropped ? 0.0F : static_cast<float>(value(c));
  }
  for (std::int64_t i = leads_; i < chunk_; ++i) pattern[i] = pattern[i - leads_];
}

void RecordAugmenter::plan(const RecordToAugment& record) {
  const AugmentSpec& spec = spec_.augment;
  plan_ = plan_record(spec, record.key, length_, crop_);
  plan_leads(spec, plan_, record.key, leads_, leads_plan_.data());
  const auto set = [&](Slot scale_slot, Slot shift_slot, double share) {
    fill_pattern(values(scale_slot), [&](std::int64_t c) {
      return share * plan_.factor * static_cast<double>(floats(x_.scale)[c]);
    });
    fill_pattern(values(shift_slot),
                 [&](std::int64_t c) { return share * static_cast<double>(floats(x_.shift)[c]); });
    // A dropped lead holds what a missing sample would.
    for (std::int64_t c = 0; spec.lead_dropout > 0.0 && c < leads_; ++c) {
      if (!leads_plan_[c].dropped) continue;
      for (std::int64_t i = c; i < chunk_; i += leads_) {
        values(shift_slot)[i] = static_cast<float>(share * spec_.missing);
      }
    }
  };
  set(scale, shift, static_cast<double>(record.share));
  if (record.partner != nullptr) {
    set(partner_scale, partner_shift, 1.0 - static_cast<double>(record.share));
  }
  waves_ = plan_.wander_mv > 0.0 || plan_.hum_mv > 0.0;
  if (waves_) {
    float* parts = values(slots) + 2 * chunk_rows_;
    for (std::int64_t c = 0; c < leads_; ++c) {
      const LeadPlan& lead = leads_plan_[c];
      const double unit = lead.dropped ? 0.0
                                       : static_cast<double>(floats(x_.gain)[c]) *
                                             static_cast<double>(floats(x_.scale)[c]);
      parts[c] = static_cast<float>(lead.wander_mv * unit);
      parts[leads_ + c] = static_cast<float>(lead.hum_mv * unit);
    }
  }
  if (spec.noise > 0.0) set_noise(record);
}

// Adds weight times the variance of each lead, in squared sample units, to the first elements of
// the deviations.
void RecordAugmenter::add_lead_variances(const std::int16_t* samples, double weight) {
  const std::int64_t period = sum_rows * leads_;
  std::fill_n(sums_.data(), sums * period, 0);
  add_sums(samples, crop_ * leads_, period, sums_.data());
  for (std::int64_t c = 0; c < leads_; ++c) {
    double total[sums] = {};
    for (std::int64_t which = 0; which < sums; ++which) {
      for (std::int64_t i = c; i < period; i += leads_) {
        total[which] += static_cast<double>(sums_[which * period + i]);
      }
    }
    const double n = std::max(static_cast<double>(crop_) - total[missing_count], 1.0);
    const double mean = total[sum] / n;
    const double squares = total[low_squares] + 0x1p16 * total[high_squares];
    const double variance = std::max(squares / n - mean * mean, 0.0);
    values(deviation)[c] += static_cast<float>(weight * variance);
  }
}

void RecordAugmenter::set_noise(const RecordToAugment& record) {
  std::fill_n(values(deviation), leads_, 0.0F);
  const double share = static_cast<double>(record.share);
  add_lead_variances(record.samples + plan_.start * leads_, share * share);
  if (record.partner != nullptr) {
    add_lead_variances(record.partner + plan_.partner_start * leads_,
                       (1.0 - share) * (1.0 - share));
  }
  const double factor = spec_.augment.noise * plan_.factor;
  fill_pattern(values(deviation), [&](std::int64_t c) {
    const double variance = static_cast<double>(values(deviation)[c]);
    return factor * std::sqrt(variance) * std::fabs(static_cast<double>(floats(x_.scale)[c]));
  });
}

// The samples of some rows of the output: in place, or in `buffer` where the delay moves some in
// from outside of the crop.
const std::int16_t* RecordAugmenter::fetch(const Source& source, std::int64_t first_row,
                                           std::int64_t rows, std::int16_t* buffer) const {
  const std::int64_t from = first_row - source.delay;
  const std::int64_t begin = std::clamp<std::int64_t>(from, 0, crop_);
  const std::int64_t end = std::clamp<std::int64_t>(from + rows, begin, crop_);
  if (begin == from && end == from + rows) return source.samples + from * leads_;
  std::fill_n(buffer, rows * leads_, missing_sample_code);
  if (end > begin) {
    std::copy(source.samples + begin * leads_, source.samples + end * leads_,
              buffer + (begin - from) * leads_);
  }
  return buffer;
}

void RecordAugmenter::write_chunk(const RecordToAugment& record, std::int64_t first_row,
                                  std::int64_t rows, float* y) {
  const std::int64_t count = rows * leads_;
  const double share = static_cast<double>(record.share);
  const std::int16_t* samples =
      fetch({record.samples + plan_.start * leads_, plan_.delay}, first_row, rows, samples_.data());
  const std::int16_t* partner = samples;
  convert_samples(samples, values(scale), values(shift), chunk_,
                  static_cast<float>(share * spec_.missing), count, y);
  if (record.partner != nullptr) {
    partner = fetch({record.partner + plan_.partner_start * leads_, plan_.partner_delay}, first_row,
                    rows, samples_.data() + chunk_);
    add_samples(partner, values(partner_scale), values(partner_shift),
                static_cast<float>((1.0 - share) * spec_.missing), count, y);
  }
  const bool noisy = spec_.augment.noise > 0.0;
  if (!waves_ && !noisy) return;
  std::fill_n(values(extra), chunk_, 0.0F);
  if (waves_) {
    float* wander = values(slots);
    float* hum = wander + chunk_rows_;
    std::fill_n(wander, 2 * chunk_rows_, 0.0F);
    constexpr float third = 1.0F / 3.0F;
    for (const Oscillator& sine : plan_.wander) {
      if (plan_.wander_mv > 0.0) add_sine(sine, first_row, third, rows, wander);
    }
    if (plan_.hum_mv > 0.0) add_sine(plan_.hum, first_row, 1.0F, rows, hum);
    const float* parts = hum + chunk_rows_;
    spread_over_leads(wander, hum, parts, parts + leads_, leads_, rows, values(extra));
  }
  if (noisy) {
    const auto block = static_cast<std::uint32_t>(first_row * leads_ / philox_words * philox_lanes);
    const std::int64_t groups = (count + philox_words - 1) / philox_words;
    add_noise({spec_.augment.key(AugmentDraw::noise), record.key}, block, values(deviation), groups,
              values(extra));
  }
  add_where_present(samples, partner, values(extra), count, y);
}

void RecordAugmenter::mask(std::uint32_t key, float* y) const {
  const AugmentSpec& spec = spec_.augment;
  const PhiloxStream stream{spec.key(AugmentDraw::mask_start), key};
  const std::uint32_t threshold = spec.mask_threshold();
  std::uint32_t words[philox_words];
  for (std::int64_t t = 0; t < crop_; ++t) {
    if (t % philox_words == 0) draw_mask_words(stream, t, words);
    if ((words[t % philox_words] >> 8) >= threshold) continue;
    const std::int64_t width = std::min(spec.mask_width(key, t), crop_ - t);
    std::fill_n(y + t * leads_, width * leads_, static_cast<float>(spec_.missing));
  }
}

void RecordAugmenter::write(const RecordToAugment& record, float* y) {
  plan(record);
  for (std::int64_t row = 0; row < crop_; row += chunk_rows_) {
    write_chunk(record, row, std::min(chunk_rows_, crop_ - row), y + row * leads_);
  }
  if (plan_.masked) mask(record.key, y);
}

}  // namespace cardiograd
