// int16 samples of chosen records to finished values, in one pass: crop, scale and augmentation
// (kernels/augment.h), with the CPU's draws.
//
// Bytes: 2 read and sizeof(T) written an element; noise reads the crop once more for its standard
// deviations, which then lies in the second-level cache. Bound: memory without augmentation; with
// noise a Philox block, two logarithms, roots and sines for four elements (about 70 instructions an
// element) come to the same order. What is decided once for a record and for its leads is decided
// by a first, small kernel, in the double arithmetic of plan_record; what is decided for a sample
// (waves, masks) is worked out once for a tile, in shared memory.
#include <limits>

#include "kernels/cpu/vector_math.h"
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/epoch.h"
#include "kernels/cuda/grid.h"
#include "kernels/gather_checks.h"

namespace cardiograd {
namespace cuda {
namespace {

constexpr std::int16_t missing_code = std::numeric_limits<std::int16_t>::min();
constexpr int noise_lanes = 64;               // neighbouring elements whose draws are neighbours
constexpr int noise_group = 4 * noise_lanes;  // elements that they serve
constexpr int tile_elements = 4 * block_threads;  // four a thread

struct Gather {
  AugmentSpec augment;
  const std::uint32_t* epoch;
  std::uint32_t mask_threshold;
  double missing;
  const std::int16_t* samples;  // [records, length, leads]
  std::int64_t records;
  std::int64_t length;
  std::int64_t crop;
  std::int64_t leads;
  std::int64_t channels;  // of y, those beyond the leads are 0
  std::int64_t count;
  const std::int32_t* rows;
  const std::int32_t* keys;
  const std::int32_t* partners;  // null: no mixup
  const float* shares;
  const float* scale;
  const float* shift;
  const float* gain;
};

// One value a lead and record each, in this order.
enum Pattern : int { scale, shift, partner_scale, partner_shift, deviation, wander, hum, patterns };

// The crop of a record that begins at sample `start`; null where the row does not exist.
CG_DEVICE const std::int16_t* crop_of(const Gather& g, std::int32_t row, std::int64_t start) {
  if (row < 0 || row >= g.records) return nullptr;
  return g.samples + (row * g.length + start) * g.leads;
}

// ---- Plans --------------------------------------------------------------------------------------

// The variances of `width` neighbouring leads from `first` over a crop, in squared sample units:
// thread c has that of lead first + c. The sums are whole numbers, so that their order is free.
// Every thread of the block must call it.
CG_DEVICE double lead_variance(const Gather& g, const std::int16_t* crop, std::int64_t first,
                               int width) {
  CG_SHARED(std::int64_t[block_threads], sums);
  CG_SHARED(std::int64_t[block_threads], squares);
  CG_SHARED(std::int64_t[block_threads], counts);
  const auto thread = static_cast<int>(threadIdx.x);
  const int lanes = block_threads / width;
  std::int64_t sum = 0;
  std::int64_t square = 0;
  std::int64_t present = 0;
  for (std::int64_t t = thread / width; thread < lanes * width && t < g.crop; t += lanes) {
    const std::int16_t sample = crop[t * g.leads + first + thread % width];
    if (sample == missing_code) continue;
    sum += sample;
    square += static_cast<std::int32_t>(sample) * sample;
    ++present;
  }
  sync_block();  // another call's sums have been read
  sums[thread] = sum;
  squares[thread] = square;
  counts[thread] = present;
  sync_block();
  if (thread >= width) return 0.0;
  for (int lane = 1; lane < lanes; ++lane) {
    sum += sums[lane * width + thread];
    square += squares[lane * width + thread];
    present += counts[lane * width + thread];
  }
  const double n = present > 0 ? static_cast<double>(present) : 1.0;
  const double mean = static_cast<double>(sum) / n;
  const double variance = static_cast<double>(square) / n - mean * mean;
  return variance > 0.0 ? variance : 0.0;
}

// What one record does to each of its leads, without the deviations.
CG_DEVICE void write_lead(const Gather& g, const RecordPlan& plan, const LeadPlan& lead,
                          double share, std::int64_t c, float* of) {
  const auto lead_scale = static_cast<double>(g.scale[c]);
  const auto lead_shift = static_cast<double>(g.shift[c]);
  // A dropped lead holds what a missing sample would.
  const double factor = lead.dropped ? 0.0 : plan.factor * lead_scale;
  const double constant = lead.dropped ? g.missing : lead_shift;
  of[scale * g.leads + c] = static_cast<float>(share * factor);
  of[shift * g.leads + c] = static_cast<float>(share * constant);
  of[partner_scale * g.leads + c] = static_cast<float>((1.0 - share) * factor);
  of[partner_shift * g.leads + c] = static_cast<float>((1.0 - share) * constant);
  const double unit =
      lead.dropped || g.gain == nullptr ? 0.0 : static_cast<double>(g.gain[c]) * lead_scale;
  of[wander * g.leads + c] = static_cast<float>(lead.wander_mv * unit);
  of[hum * g.leads + c] = static_cast<float>(lead.hum_mv * unit);
}

// plans[n] and lead_values[n, patterns, leads]: a block a record.
CG_KERNEL(block_threads)
void gather_plan_kernel(Gather g, RecordPlan* plans, float* lead_values) {
  CG_SHARED(AugmentSpec, augment);
  if (threadIdx.x == 0) augment = as_of(g.augment, g.epoch);
  sync_block();
  const auto thread = static_cast<int>(threadIdx.x);
  for (std::int64_t n = blockIdx.x; n < g.count; n += gridDim.x) {
    const std::int32_t key = g.keys[n];
    const bool augmented = key >= g.augment.first_key;
    const auto record = static_cast<std::uint32_t>(key);
    if (thread == 0) {
      RecordPlan plan;
      plan.start = (g.length - g.crop) / 2;
      plans[n] = augmented ? plan_record(augment, record, g.length, g.crop) : plan;
    }
    sync_block();
    const RecordPlan plan = plans[n];
    const bool drops = augmented && g.augment.lead_dropout > 0.0;
    bool all = drops;
    for (std::int64_t c = thread; drops && c < g.leads; c += block_threads) {
      all = all && plan_lead(augment, plan, record, c).dropped;
    }
    all = sync_block_and(all);
    const std::int64_t kept = all ? kept_lead(augment, record, g.leads) : -1;
    const bool mixed = augmented && g.partners != nullptr;
    const double share = mixed ? static_cast<double>(g.shares[n]) : 1.0;
    const std::int16_t* crop = crop_of(g, g.rows[n], plan.start);
    const std::int16_t* partner = mixed ? crop_of(g, g.partners[n], plan.partner_start) : nullptr;
    float* of = lead_values + n * patterns * g.leads;
    for (std::int64_t first = 0; first < g.leads; first += block_threads) {
      const std::int64_t left = g.leads - first;
      const int width = left < block_threads ? static_cast<int>(left) : block_threads;
      double variance = 0.0;
      if (augmented && g.augment.noise > 0.0) {
        if (crop != nullptr) variance = share * share * lead_variance(g, crop, first, width);
        if (partner != nullptr) {
          variance += (1.0 - share) * (1.0 - share) * lead_variance(g, partner, first, width);
        }
      }
      if (thread >= width) continue;
      const std::int64_t c = first + thread;
      LeadPlan lead;
      if (augmented) lead = plan_lead(augment, plan, record, c);
      if (c == kept) lead.dropped = false;
      write_lead(g, plan, lead, share, c, of);
      const float magnitude = g.scale[c] < 0.0F ? -g.scale[c] : g.scale[c];
      of[deviation * g.leads + c] = lead.dropped
                                        ? 0.0F
                                        : static_cast<float>(g.augment.noise * plan.factor) *
                                              math::sqrt(static_cast<float>(variance)) * magnitude;
    }
  }
}

// ---- Values -------------------------------------------------------------------------------------

// What a tile's samples share over the leads.
struct TileRows {
  float wander[tile_elements];
  float hum[tile_elements];
  std::int32_t masked[tile_elements];
};

// Fills the rows of a tile that begins at sample `first`. Every thread of the block must call it.
CG_DEVICE void fill_rows(const Gather& g, const RecordPlan& plan, std::uint32_t record,
                         std::int64_t first, int count, TileRows& rows) {
  const auto thread = static_cast<int>(threadIdx.x);
  constexpr float third = 1.0F / 3.0F;
  for (int i = thread; i < count; i += block_threads) {
    const auto t = static_cast<std::uint32_t>(first + i);
    float sum = 0.0F;
    if (plan.wander_mv > 0.0) {
      CG_UNROLL
      for (int k = 0; k < 3; ++k) {
        const Oscillator& sine = plan.wander[static_cast<std::size_t>(k)];
        sum += third * vector_math::sine_cosine(sine.phase + t * sine.step).sine;
      }
    }
    rows.wander[i] = sum;
    rows.hum[i] = plan.hum_mv > 0.0
                      ? vector_math::sine_cosine(plan.hum.phase + t * plan.hum.step).sine
                      : 0.0F;
    rows.masked[i] = 0;
  }
  sync_block();
  if (!plan.masked) return;
  // A window that reaches into the tile starts less than its greatest width before it.
  const std::int64_t before = first - g.augment.mask_longest + 1;
  const std::int64_t end = first + count;
  const RandomKey starts = as_of(g.augment.key(AugmentDraw::mask_start), g.epoch);
  for (std::int64_t block = (before > 0 ? before : 0) / 4 + thread; block * 4 < end;
       block += block_threads) {
    const Philox::Words words = starts.draw(record, static_cast<std::uint32_t>(block));
    for (int j = 0; j < 4; ++j) {
      const std::int64_t t = block * 4 + j;
      if ((words[static_cast<std::size_t>(j)] >> 8) >= g.mask_threshold || t >= end) continue;
      const std::int64_t stop = t + as_of(g.augment, g.epoch).mask_width(record, t);
      for (std::int64_t at = t > first ? t : first; at < stop && at < end; ++at) {
        rows.masked[at - first] = 1;  // several threads may write it, all the same
      }
    }
  }
  sync_block();
}

struct Normals {
  float values[4];
};

// The noise of elements i, i + 64, i + 128 and i + 192 of a group (Box & Muller 1958).
CG_DEVICE Normals draw_normals(const RandomKey& key, std::uint32_t record, std::uint32_t block) {
  const Philox::Words words = key.draw(record, block);
  Normals normals;
  CG_UNROLL
  for (int pair = 0; pair < 4; pair += 2) {
    const std::uint32_t radius = words[static_cast<std::size_t>(pair)];
    // (0, 1], exact in float.
    const float u = static_cast<float>(static_cast<std::int32_t>(radius >> 8) + 1) * 0x1p-24F;
    const float r = math::sqrt(-2.0F * vector_math::log_unit(u));
    const vector_math::SineCosine at =
        vector_math::sine_cosine(words[static_cast<std::size_t>(pair + 1)]);
    normals.values[pair] = r * at.cosine;
    normals.values[pair + 1] = r * at.sine;
  }
  return normals;
}

// The sample that a crop delayed by `delay` has at time t.
CG_DEVICE std::int16_t sample_at(const Gather& g, const std::int16_t* crop, std::int64_t t,
                                 std::int64_t delay, std::int64_t lead) {
  const std::int64_t from = t - delay;
  return from >= 0 && from < g.crop ? crop[from * g.leads + lead] : missing_code;
}

// y[n, crop, channels], a block a tile of one record. A thread has the four elements of one draw of
// the noise, so that a warp's accesses are neighbours; who has a sample's last lead writes the
// zeros behind it.
template <class T>
CG_KERNEL(block_threads)
void gather_augment_kernel(Gather g, const RecordPlan* __restrict__ plans,
                           const float* __restrict__ lead_values, T* __restrict__ y) {
  CG_SHARED(TileRows, rows);
  const auto thread = static_cast<int>(threadIdx.x);
  const auto width = static_cast<std::uint32_t>(g.crop * g.leads);
  const auto leads = static_cast<std::uint32_t>(g.leads);
  const std::uint32_t tiles = (width + tile_elements - 1) / tile_elements;
  for (std::int64_t item = blockIdx.x; item < g.count * tiles; item += gridDim.x) {
    const std::int64_t n = item / tiles;
    const std::uint32_t begin = static_cast<std::uint32_t>(item % tiles) * tile_elements;
    const std::uint32_t end = width - begin < tile_elements ? width : begin + tile_elements;
    const RecordPlan& plan = plans[n];
    const auto record = static_cast<std::uint32_t>(g.keys[n]);
    const bool augmented = g.keys[n] >= g.augment.first_key;
    const bool mixed = augmented && g.partners != nullptr;
    const float share = mixed ? g.shares[n] : 1.0F;
    const std::int16_t* crop = crop_of(g, g.rows[n], plan.start);
    const std::int16_t* partner = mixed ? crop_of(g, g.partners[n], plan.partner_start) : crop;
    const std::uint32_t first_row = begin / leads;
    fill_rows(g, plan, record, first_row, static_cast<int>((end - 1) / leads - first_row) + 1,
              rows);
    const auto missing = static_cast<float>(g.missing);
    const auto own_missing = static_cast<float>(static_cast<double>(share) * g.missing);
    const auto other_missing = static_cast<float>((1.0 - static_cast<double>(share)) * g.missing);
    const float* of = lead_values + n * patterns * leads;
    const std::uint32_t group =
        begin / noise_group + static_cast<std::uint32_t>(thread) / noise_lanes;
    const std::uint32_t lane = static_cast<std::uint32_t>(thread) % noise_lanes;
    Normals normals{};
    if (augmented && g.augment.noise > 0.0) {
      normals = draw_normals(as_of(g.augment.key(AugmentDraw::noise), g.epoch), record,
                             group * noise_lanes + lane);
    }
    CG_UNROLL
    for (int j = 0; j < 4; ++j) {
      const std::uint32_t e =
          group * noise_group + static_cast<std::uint32_t>(j) * noise_lanes + lane;
      if (e >= end) continue;
      const std::uint32_t t = e / leads;
      const std::uint32_t c = e % leads;
      float value = std::numeric_limits<float>::quiet_NaN();  // of a record that does not exist
      if (crop != nullptr && partner != nullptr) {
        const std::int16_t own = sample_at(g, crop, t, plan.delay, c);
        value = own == missing_code
                    ? own_missing
                    : static_cast<float>(own) * of[scale * leads + c] + of[shift * leads + c];
        bool present = own != missing_code;
        if (mixed) {
          const std::int16_t other = sample_at(g, partner, t, plan.partner_delay, c);
          value += other == missing_code
                       ? other_missing
                       : static_cast<float>(other) * of[partner_scale * leads + c] +
                             of[partner_shift * leads + c];
          present = present || other != missing_code;
        }
        const auto row = static_cast<int>(t - first_row);
        if (present) {
          value += rows.wander[row] * of[wander * leads + c] + rows.hum[row] * of[hum * leads + c] +
                   of[deviation * leads + c] * normals.values[j];
        }
        if (rows.masked[row] != 0) value = missing;
      }
      T* to = y + (n * g.crop + t) * g.channels + c;
      *to = from_float<T>(value);
      if (c + 1 != leads) continue;
      for (std::int64_t k = leads; k < g.channels; ++k) *++to = from_float<T>(0.0F);
    }
    sync_block();  // the rows are written again by the next tile
  }
}

// Without augmentation: n neighbouring elements of y a thread.
template <class T, int n>
CG_KERNEL(block_threads)
void gather_plain_kernel(Gather g, T* __restrict__ y) {
  const std::int64_t width = g.crop * g.channels;
  const std::int64_t packs = width / n;
  const std::int64_t centre = (g.length - g.crop) / 2;
  const auto missing = static_cast<float>(g.missing);
  const auto channels = static_cast<std::uint32_t>(g.channels);
  const auto leads = static_cast<std::uint32_t>(g.leads);
  for (std::int64_t item = first_item(); item < g.count * packs; item += item_step()) {
    const std::int64_t record = item / packs;
    const auto e = static_cast<std::uint32_t>(item % packs * n);
    const std::uint32_t t = e / channels;
    std::uint32_t c = e % channels;
    const std::int16_t* crop = crop_of(g, g.rows[record], centre);
    Pack<std::int16_t, n> samples{};
    if (crop != nullptr) {
      if (leads == channels) {
        samples = load_pack<n>(crop + e);
      } else {
        const std::int16_t* row = crop + t * leads;
        std::uint32_t at = c;
        CG_UNROLL
        for (int j = 0; j < n; ++j) {
          if (at < leads) samples[j] = row[at];
          if (++at == channels) {
            at = 0;
            row += leads;
          }
        }
      }
    }
    Pack<T, n> values;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      float value = 0.0F;
      if (c < leads) {
        value = samples[j] == missing_code
                    ? missing
                    : static_cast<float>(samples[j]) * g.scale[c] + g.shift[c];
        if (crop == nullptr) value = std::numeric_limits<float>::quiet_NaN();
      }
      values[j] = from_float<T>(value);
      c = c + 1 == channels ? 0 : c + 1;
    }
    store_pack(y + record * width + e, values);
  }
}

template <class T, int n>
void gather_plain(const Device& device, const Gather& g, T* y) {
  launch<gather_plain_kernel<T, n>>(device.blocks_for(g.count * (g.crop * g.channels / n)),
                                    block_threads, 0, device.stream, g, y);
}

template <class T>
void gather(const Device& device, BlockCache& blocks, const Gather& g, T* y) {
  if (g.augment.changes_signal() || g.partners != nullptr) {
    const Scratch<RecordPlan> plans(blocks, g.count);
    const Scratch<float> lead_values(blocks, g.count * patterns * g.leads);
    launch<gather_plan_kernel>(device.blocks_for(g.count, 1), block_threads, 0, device.stream, g,
                               plans.data(), lead_values.data());
    const std::int64_t tiles = (g.crop * g.leads + tile_elements - 1) / tile_elements;
    launch<gather_augment_kernel<T>>(device.blocks_for(g.count * tiles, 1), block_threads, 0,
                                     device.stream, g, plans.data(), lead_values.data(), y);
    return;
  }
  constexpr int n = pack_size<T>;
  const bool samples_packed = g.leads * g.length % n == 0 &&
                              (g.length - g.crop) / 2 * g.leads % n == 0 &&
                              is_aligned(g.samples, n * sizeof(std::int16_t));
  if (g.channels * g.crop % n == 0 && is_aligned(y, 16) &&
      (g.channels > g.leads || samples_packed)) {
    gather_plain<T, n>(device, g, y);
  } else {
    gather_plain<T, 1>(device, g, y);
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::gather_records(const GatherSpec& spec, const GatherOperands& x, View y) {
  cuda::require_dtype("gather_records", DType::f32, {x.scale, x.shift, x.shares, x.gain});
  check_gather(spec, x, y);
  if (y.numel() == 0) return;
  const std::int64_t width = y.dims[1] * y.dims[2];
  CG_CHECK(width < (std::int64_t{1} << 31) - cuda::tile_elements,
           "gather_records on cuda: a record of " + std::to_string(width) +
               " values is too long, crop it");
  const auto* rows = x.rows.as<std::int32_t>();
  const bool mixed = x.partners.present();
  const cuda::Gather gather{spec.augment,
                            device_.epoch,
                            spec.augment.mask_threshold(),
                            spec.missing,
                            x.records.as<std::int16_t>(),
                            x.records.dims[0],
                            x.records.dims[1],
                            y.dims[1],
                            x.records.dims[2],
                            y.dims[2],
                            y.dims[0],
                            rows,
                            x.keys.present() ? x.keys.as<std::int32_t>() : rows,
                            mixed ? x.partners.as<std::int32_t>() : nullptr,
                            mixed ? cuda::elements<float>(x.shares) : nullptr,
                            cuda::elements<float>(x.scale),
                            cuda::elements<float>(x.shift),
                            cuda::elements<float>(x.gain)};
  cuda::dispatch_storage("gather_records", {y}, [&](auto element) {
    using T = decltype(element);
    cuda::gather(device_, blocks_, gather, cuda::elements<T>(y));
  });
}

}  // namespace cardiograd
