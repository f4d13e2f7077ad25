// Dropout with counter-based draws: the mask is the CPU's, bit for bit.
//
// Bytes: 2 operands an element, read and written once; one Philox block (about 100 integer
// instructions) for four elements, or for four channels of a slab of time steps. Bound: memory in
// f32; with bf16 the integer instructions of the draws come close. A thread handles the four
// elements of one draw.
#include <cmath>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/epoch.h"
#include "kernels/cuda/grid.h"
#include "kernels/dropout_checks.h"

namespace cardiograd {
namespace cuda {
namespace {

struct Drop {
  RandomKey key;
  const std::uint32_t* epoch;
  std::uint32_t threshold;  // kept where the upper 24 bits of the word reach it
  float scale;
};

// The records' numbers: records[n], or n where there are none.
CG_DEVICE std::uint32_t record_of(const std::int32_t* records, std::int64_t n) {
  return static_cast<std::uint32_t>(records != nullptr ? records[n] : static_cast<std::int32_t>(n));
}

// y = x dropped, for the up to four elements of one draw. `packed`: there are four, and they lie on
// a boundary of their size.
template <class T>
CG_DEVICE void drop_four(const Drop& drop, const Philox::Words& words, const T* x, T* y,
                         std::int64_t count, bool packed) {
  const auto dropped = [&](T value, std::uint32_t word) {
    return from_float<T>((word >> 8) >= drop.threshold ? to_float(value) * drop.scale : 0.0F);
  };
  if (packed) {
    Pack<T, 4> pack = load_pack<4>(x);
    CG_UNROLL
    for (int j = 0; j < 4; ++j) pack[j] = dropped(pack[j], words[j]);
    store_pack(y, pack);
    return;
  }
  CG_UNROLL
  for (int j = 0; j < 4; ++j) {
    if (j < count) y[j] = dropped(x[j], words[j]);
  }
}

// Records of `width` elements; a thread a draw.
template <class T>
CG_KERNEL(block_threads)
void dropout_kernel(Drop drop, const std::int32_t* __restrict__ records, const T* __restrict__ x,
                    T* __restrict__ y, std::int64_t count, std::int64_t width, bool aligned) {
  const RandomKey key = as_of(drop.key, drop.epoch);
  const std::int64_t draws = (width + 3) / 4;
  for (std::int64_t item = first_item(); item < count * draws; item += item_step()) {
    const std::int64_t n = item / draws;
    const std::int64_t draw = item % draws;
    const std::int64_t at = n * width + draw * 4;
    const Philox::Words words = key.draw(record_of(records, n), static_cast<std::uint32_t>(draw));
    drop_four(drop, words, x + at, y + at, width - draw * 4, aligned);
  }
}

constexpr std::int64_t slab = 32;  // time steps that share a thread's draw

// [count, length, channels]; a thread four channels of a slab.
template <class T>
CG_KERNEL(block_threads)
void channel_dropout_kernel(Drop drop, const std::int32_t* __restrict__ records,
                            const T* __restrict__ x, T* __restrict__ y, std::int64_t count,
                            std::int64_t length, std::int64_t channels, bool aligned) {
  const RandomKey key = as_of(drop.key, drop.epoch);
  const std::int64_t draws = (channels + 3) / 4;
  const std::int64_t slabs = (length + slab - 1) / slab;
  for (std::int64_t item = first_item(); item < count * slabs * draws; item += item_step()) {
    const std::int64_t draw = item % draws;
    const std::int64_t first = item / draws % slabs * slab;
    const std::int64_t n = item / draws / slabs;
    const Philox::Words words = key.draw(record_of(records, n), static_cast<std::uint32_t>(draw));
    const std::int64_t end = first + slab < length ? first + slab : length;
    for (std::int64_t step = first; step < end; ++step) {
      const std::int64_t at = (n * length + step) * channels + draw * 4;
      drop_four(drop, words, x + at, y + at, channels - draw * 4, aligned);
    }
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::dropout(const DropoutSpec& spec, ConstView records, ConstView x, View y) {
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
  const cuda::Drop drop{spec.key, device_.epoch,
                        static_cast<std::uint32_t>(std::ceil(spec.p * 0x1p24)),
                        static_cast<float>(1.0 / (1.0 - spec.p))};
  const auto* numbers = records.present() ? records.as<std::int32_t>() : nullptr;
  cuda::dispatch_storage("dropout", {y, x}, [&](auto element) {
    using T = decltype(element);
    const T* from = cuda::elements<T>(x);
    T* to = cuda::elements<T>(y);
    const std::int64_t width = spec.channel ? x.dims[2] : x.numel() / count;
    const bool aligned = width % 4 == 0 && cuda::is_aligned(from, 4 * sizeof(T)) &&
                         cuda::is_aligned(to, 4 * sizeof(T));
    const std::int64_t draws = (width + 3) / 4;
    if (spec.channel) {
      const std::int64_t slabs = (x.dims[1] + cuda::slab - 1) / cuda::slab;
      cuda::launch<cuda::channel_dropout_kernel<T>>(
          device_.blocks_for(count * slabs * draws), cuda::block_threads, 0, device_.stream, drop,
          numbers, from, to, count, x.dims[1], width, aligned);
    } else {
      cuda::launch<cuda::dropout_kernel<T>>(device_.blocks_for(count * draws), cuda::block_threads,
                                            0, device_.stream, drop, numbers, from, to, count,
                                            width, aligned);
    }
  });
}

}  // namespace cardiograd
