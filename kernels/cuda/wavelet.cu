// Wavelet denoising: analysis, threshold and synthesis of each lead of each record, on chip.
//
// Bytes an element: sizeof(T) read, sizeof(T) written. Operations an element: 4 taps multiply-adds
// with 3 taps reads of shared memory (all levels together are about two of the finest), and 16
// comparisons for the median. Bound: shared memory. A block has four neighbouring leads of a record
// (one, where four do not fit), interleaved in shared memory as they are in the record: what is
// loaded are pieces of 16 bytes, and threads that work on different leads find them in different
// banks.
//
// The median of the finest details is found bit by bit: how many magnitudes lie below a candidate
// is a count, whose sum does not depend on its order.
#include <array>
#include <span>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/grid.h"
#include "kernels/wavelet.h"

namespace cardiograd {
namespace cuda {
namespace {

constexpr int warps = block_threads / 32;
constexpr std::size_t most_shared = 200 * 1024;

constexpr int most_taps = 2 * most_vanishing_moments;

// The scaling filter and the wavelet's. Loops over them are unrolled to most_taps, so that each tap
// is a constant operand of its instruction; the tests of `count` are the same for all threads.
struct Taps {
  std::array<float, most_taps> low{};
  std::array<float, most_taps> high{};
  int count = 0;

  // Coefficients of one band of `length` values.
  CG_HOST_DEVICE int band(int length) const { return (length + count - 1) / 2; }
};

// Index into a signal that goes on as its own mirror image, again and again.
CG_DEVICE int mirrored(int index, int length) {
  while (index < 0 || index >= length) index = index < 0 ? -1 - index : 2 * length - 1 - index;
  return index;
}

// Both bands of x [length, group]: low and high [band(length), group].
template <int group>
CG_DEVICE void analyse(const float* x, int length, const Taps& taps, float* low, float* high) {
  const int items = taps.band(length) * group;
  for (int item = static_cast<int>(threadIdx.x); item < items;
       item += static_cast<int>(blockDim.x)) {
    const int lead = item % group;
    const int first = 2 * (item / group) + 2 - taps.count;
    const bool inside = first >= 0 && first + taps.count <= length;
    float smooth = 0.0F;
    float detail = 0.0F;
    CG_UNROLL
    for (int k = 0; k < most_taps; ++k) {
      if (k >= taps.count) continue;
      const int at = inside ? first + k : mirrored(first + k, length);
      const float value = x[at * group + lead];
      smooth = math::fma(taps.low[static_cast<std::size_t>(k)], value, smooth);
      detail = math::fma(taps.high[static_cast<std::size_t>(k)], value, detail);
    }
    low[item] = smooth;
    high[item] = detail;
  }
}

CG_DEVICE float shrunk(float value, float threshold, bool soft) {
  const float magnitude = value < 0.0F ? -value : value;
  if (magnitude < threshold) return 0.0F;
  if (!soft) return value;
  return value < 0.0F ? threshold - magnitude : magnitude - threshold;
}

// x [length, group] from its bands. The details are shrunk on the way, the approximation has been.
template <int group>
CG_DEVICE void synthesise(const float* low, const float* high, int length, const Taps& taps,
                          float threshold, bool soft, float* x) {
  for (int item = static_cast<int>(threadIdx.x); item < length * group;
       item += static_cast<int>(blockDim.x)) {
    const int lead = item % group;
    const int t = item / group;
    const bool odd = t % 2 != 0;
    const int last = (t / 2 + taps.count / 2 - 1) * group + lead;
    float sum = 0.0F;
    CG_UNROLL
    for (int k = 0; k < most_taps; k += 2) {
      if (k >= taps.count) continue;
      const auto even_tap = static_cast<std::size_t>(k);
      const int from = last - k / 2 * group;
      sum = math::fma(odd ? taps.low[even_tap + 1] : taps.low[even_tap], low[from], sum);
      sum = math::fma(odd ? taps.high[even_tap + 1] : taps.high[even_tap],
                      shrunk(high[from], threshold, soft), sum);
    }
    x[item] = sum;
  }
}

// Combines one value of each thread with those of the threads of the same lead (threadIdx % group),
// in each thread.
template <int group, class T, class Combine>
CG_DEVICE T combine_leads(T value, T (&partial)[warps][group], Combine combine) {
  CG_UNROLL
  for (int distance = 16; distance >= group; distance /= 2) {
    value = combine(value, shuffle_xor(value, distance));
  }
  const int lead = static_cast<int>(threadIdx.x) % group;
  if (lane_of() < group) partial[threadIdx.x / 32][lead] = value;
  sync_block();
  T total = partial[0][lead];
  CG_UNROLL
  for (int warp = 1; warp < warps; ++warp) total = combine(total, partial[warp][lead]);
  sync_block();  // the next call writes partial again
  return total;
}

struct Greater {
  CG_DEVICE unsigned operator()(unsigned a, unsigned b) const { return a > b ? a : b; }
};

// The median magnitude of this thread's lead in values [count, group].
template <int group>
CG_DEVICE float median_magnitude(const float* values, int count) {
  CG_SHARED(unsigned[warps][group], partial);
  constexpr int step = block_threads / group;
  const int lead = static_cast<int>(threadIdx.x) % group;
  const int first = static_cast<int>(threadIdx.x) / group;
  // Magnitudes are in the order of their bits.
  const auto bits = [&](int i) {
    return std::bit_cast<unsigned>(values[i * group + lead]) & 0x7fffffffU;
  };
  const auto count_below = [&](unsigned limit) {
    unsigned below = 0;
    for (int i = first; i < count; i += step) below += bits(i) < limit ? 1U : 0U;
    return combine_leads<group>(below, partial, Sum{});
  };
  const auto middle = static_cast<unsigned>(count / 2);
  unsigned upper = 0;  // the greatest with at most `middle` values below it: the middle one itself
  unsigned below = 0;
  for (unsigned bit = 1U << 30; bit > 0; bit /= 2) {
    const unsigned counted = count_below(upper | bit);
    if (counted <= middle) {
      upper |= bit;
      below = counted;
    }
  }
  unsigned lower = 0;
  for (int i = first; i < count; i += step) {
    const unsigned each = bits(i);
    if (each < upper) lower = Greater{}(lower, each);
  }
  lower = combine_leads<group>(lower, partial, Greater{});
  if (count % 2 != 0 || below < middle) lower = upper;
  return 0.5F * (std::bit_cast<float>(upper) + std::bit_cast<float>(lower));
}

struct Denoising {
  std::int64_t records = 0;
  std::int64_t leads = 0;
  int length = 0;
  int levels = 1;
  float factor = 0.0F;
  bool soft = false;
  Taps taps;

  // Floats of shared memory a lead: the signal and one more, the first approximation and one more,
  // and all details.
  std::size_t floats() const {
    std::int64_t count = std::int64_t{length} + taps.band(length) + 2;
    int band = length;
    for (int level = 0; level < levels; ++level) {
      band = taps.band(band);
      count += band;
    }
    return static_cast<std::size_t>(count);
  }
};

// A block a group of leads of a record.
template <class T, int group>
CG_KERNEL(block_threads)
void wavelet_denoise_kernel(const T* __restrict__ x, Denoising d, T* __restrict__ y) {
  CG_DYNAMIC_SHARED(float, shared);
  const std::int64_t groups = (d.leads + group - 1) / group;
  const std::int64_t first_lead = blockIdx.x % groups * group;
  const std::int64_t left = d.leads - first_lead;
  const int count = left < group ? static_cast<int>(left) : group;
  const std::int64_t first = blockIdx.x / groups * d.length * d.leads + first_lead;
  const int thread_lead = static_cast<int>(threadIdx.x) % group;
  const auto for_each_value = [&](auto&& visit) {
    for (int item = static_cast<int>(threadIdx.x); item < d.length * group; item += block_threads) {
      if (thread_lead < count) visit(item, first + item / group * d.leads + thread_lead);
    }
  };
  float* finer = shared;
  float* coarser = finer + (d.length + 1) * group;
  float* details = coarser + (d.taps.band(d.length) + 1) * group;
  // Leads that are not there are zeros.
  for (int item = static_cast<int>(threadIdx.x); item < d.length * group; item += block_threads) {
    if (thread_lead >= count) finer[item] = 0.0F;
  }
  for_each_value([&](int item, std::int64_t at) { finer[item] = to_float(x[at]); });
  sync_block();

  // Down: the approximations take turns in the two buffers, the details stay.
  float* const finest = details;
  int length = d.length;
  for (int level = 0; level < d.levels; ++level) {
    analyse<group>(finer, length, d.taps, coarser, details);
    sync_block();
    length = d.taps.band(length);
    details += length * group;
    float* const free = finer;
    finer = coarser;
    coarser = free;
  }
  const float threshold = d.factor * median_magnitude<group>(finest, d.taps.band(d.length));
  for (int item = static_cast<int>(threadIdx.x); item < length * group; item += block_threads) {
    finer[item] = shrunk(finer[item], threshold, d.soft);
  }
  sync_block();

  // Up again. A level gives one value too many where the one above it has an odd length.
  for (int level = d.levels - 1; level >= 0; --level) {
    details -= length * group;
    length = d.length;
    for (int above = 0; above < level; ++above) length = d.taps.band(length);
    synthesise<group>(finer, details, length, d.taps, threshold, d.soft, coarser);
    sync_block();
    float* const free = finer;
    finer = coarser;
    coarser = free;
  }
  for_each_value([&](int item, std::int64_t at) { y[at] = from_float<T>(finer[item]); });
}

template <class T, int group>
void denoise(const Device& device, const T* x, const Denoising& d, T* y) {
  const std::int64_t blocks = d.records * ((d.leads + group - 1) / group);
  launch<wavelet_denoise_kernel<T, group>>(static_cast<unsigned>(blocks), block_threads,
                                           d.floats() * sizeof(float) * group, device.stream, x, d,
                                           y);
}

Denoising denoising_of(const WaveletDenoiseSpec& spec, const Dims& x) {
  const Wavelet wavelet(spec.vanishing_moments);
  Denoising d;
  d.records = x[0];
  d.length = static_cast<int>(x[1]);
  d.leads = x[2];
  d.levels = spec.levels;
  d.factor = static_cast<float>(spec.factor);
  d.soft = spec.soft;
  d.taps.count = static_cast<int>(wavelet.taps());
  // g[k] = (-1)^k h[taps - 1 - k]
  const std::span<const double> scaling = wavelet.scaling();
  for (std::size_t k = 0; k < scaling.size(); ++k) {
    const double mirror = scaling[scaling.size() - 1 - k];
    d.taps.low[k] = static_cast<float>(scaling[k]);
    d.taps.high[k] = static_cast<float>(k % 2 == 0 ? mirror : -mirror);
  }
  return d;
}

}  // namespace
}  // namespace cuda

void CudaBackend::wavelet_denoise(const WaveletDenoiseSpec& spec, ConstView x, View y) {
  require_same_shape("wavelet_denoise", x.dims, y.dims);
  CG_CHECK(x.dims.rank() == 3, "wavelet_denoise: records are [N, L, C], got " + x.dims.to_string());
  if (x.numel() == 0) return;
  check_wavelet(spec, x.dims[1]);
  constexpr int together = 4;
  // Beyond most_shared samples a lead cannot fit, whatever the wavelet.
  const bool bounded = x.dims[1] <= static_cast<std::int64_t>(cuda::most_shared);
  const cuda::Denoising d = bounded ? cuda::denoising_of(spec, x.dims) : cuda::Denoising{};
  const std::size_t bytes = d.floats() * sizeof(float);
  if (!bounded || bytes > cuda::most_shared) {
    throw DeviceError("wavelet_denoise on cuda keeps a lead in 200 KiB of shared memory, which " +
                      std::to_string(x.dims[1]) + " samples exceed: denoise on the CPU");
  }
  cuda::dispatch_storage("wavelet_denoise", {x, y}, [&](auto element) {
    using T = decltype(element);
    const T* from = cuda::elements<T>(x);
    T* to = cuda::elements<T>(y);
    if (together * bytes <= cuda::most_shared && x.dims[2] > 1) {
      cuda::denoise<T, together>(device_, from, d, to);
    } else {
      cuda::denoise<T, 1>(device_, from, d, to);
    }
  });
}

}  // namespace cardiograd
