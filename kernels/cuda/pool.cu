// Maximum, average and adaptive average over time, and their gradients.
//
// Bytes: x or dy is read once from memory (windows that overlap find it in the cache), the other
// side written once, with 4 bytes an output for the maximum's position; kernel FLOPs an output.
// Bound: memory. A thread takes 16 bytes of neighbouring channels where the channels allow it, and
// gathers in the backward direction too: each dx is summed over the windows that cover it, in their
// order, and written once. An adaptive average over everything is a sum, and split like one.
#include <limits>
#include <type_traits>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/grid.h"

namespace cardiograd {
namespace cuda {
namespace {

struct Range {
  std::int64_t begin;
  std::int64_t end;
};

// [records, inputs, channels] to [records, outputs, channels].
struct Pooling {
  std::int64_t records = 0;
  std::int64_t inputs = 0;
  std::int64_t outputs = 0;
  std::int64_t channels = 0;
  std::int64_t kernel = 0;  // 0: adaptive
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  bool narrow = false;  // everything that is divided fits 32 bits

  // A 64-bit division costs several 32-bit ones.
  CG_DEVICE std::int64_t quotient(std::int64_t a, std::int64_t b) const {
    return narrow ? static_cast<std::int64_t>(static_cast<std::uint32_t>(a) /
                                              static_cast<std::uint32_t>(b))
                  : a / b;
  }
  CG_DEVICE std::int64_t quotient_up(std::int64_t a, std::int64_t b) const {
    return quotient(a + b - 1, b);
  }

  // The inputs that output o sees.
  CG_DEVICE Range window(std::int64_t o) const {
    if (kernel == 0) {
      return {quotient(o * inputs, outputs), quotient_up((o + 1) * inputs, outputs)};
    }
    const std::int64_t begin = o * stride - padding;
    const std::int64_t end = begin + kernel;
    return {begin < 0 ? 0 : begin, end < inputs ? end : inputs};
  }
  // The outputs that see input t; none: end <= begin.
  CG_DEVICE Range covering(std::int64_t t) const {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    if (kernel == 0) {
      begin = quotient(t * outputs, inputs);
      end = quotient_up((t + 1) * outputs, inputs);
    } else {
      const std::int64_t last = t + padding;
      begin = last < kernel ? 0 : quotient(last - kernel, stride) + 1;
      end = quotient(last, stride) + 1;
    }
    return {begin, end < outputs ? end : outputs};
  }
  // What the sum over output o's window is multiplied by: zeros of the padding count.
  CG_DEVICE float weight(std::int64_t o) const {
    if (kernel != 0) return 1.0F / static_cast<float>(kernel);
    const Range range = window(o);
    return 1.0F / static_cast<float>(range.end - range.begin);
  }
};

// Where item i of [records, steps, channels / width] is.
struct Place {
  std::int64_t record;
  std::int64_t step;
  std::int64_t channel;
};

template <int width>
CG_DEVICE Place place_of(const Pooling& p, std::int64_t i, std::int64_t steps) {
  const std::int64_t packs = width == 1 ? p.channels : p.channels / width;
  const std::int64_t row = p.quotient(i, packs);
  const std::int64_t record = p.quotient(row, steps);
  return {record, row - record * steps, (i - row * packs) * width};
}

// Positions in accesses of 16 bytes.
template <int width>
inline constexpr int index_width = width < 4 ? width : 4;

// The first maximum, or the first NaN.
template <class T, int width>
CG_KERNEL(block_threads)
void max_pool_kernel(Pooling p, const T* __restrict__ x, T* __restrict__ y,
                     std::int32_t* __restrict__ index) {
  constexpr int group = index_width<width>;
  const std::int64_t items = p.records * p.outputs * (p.channels / width);
  for (std::int64_t i = first_item(); i < items; i += item_step()) {
    const Place at = place_of<width>(p, i, p.outputs);
    const Range range = p.window(at.step);
    const T* from = x + at.record * p.inputs * p.channels + at.channel;
    float best[width];
    std::int32_t step[width];
    CG_UNROLL
    for (int j = 0; j < width; ++j) {
      best[j] = -std::numeric_limits<float>::infinity();
      step[j] = static_cast<std::int32_t>(range.begin);
    }
    for (std::int64_t t = range.begin; t < range.end; ++t) {
      const Pack<T, width> pack = load_pack<width>(from + t * p.channels);
      CG_UNROLL
      for (int j = 0; j < width; ++j) {
        const float value = to_float(pack[j]);
        const bool wins = value > best[j] || (value != value && best[j] == best[j]);
        best[j] = wins ? value : best[j];
        step[j] = wins ? static_cast<std::int32_t>(t) : step[j];
      }
    }
    Pack<T, width> result;
    CG_UNROLL
    for (int j = 0; j < width; ++j) result[j] = from_float<T>(best[j]);
    store_pack(y + i * width, result);
    CG_UNROLL
    for (int part = 0; part < width; part += group) {
      Pack<std::int32_t, group> steps;
      CG_UNROLL
      for (int j = 0; j < group; ++j) steps[j] = step[part + j];
      store_pack(index + i * width + part, steps);
    }
  }
}

template <class T, int width>
CG_KERNEL(block_threads)
void max_pool_backward_kernel(Pooling p, const std::int32_t* __restrict__ index,
                              const T* __restrict__ dy, T* __restrict__ dx) {
  constexpr int group = index_width<width>;
  const std::int64_t items = p.records * p.inputs * (p.channels / width);
  for (std::int64_t i = first_item(); i < items; i += item_step()) {
    const Place at = place_of<width>(p, i, p.inputs);
    const Range range = p.covering(at.step);
    const auto step = static_cast<std::int32_t>(at.step);
    float total[width] = {};
    std::int64_t from = (at.record * p.outputs + range.begin) * p.channels + at.channel;
    const std::int64_t end = from + (range.end - range.begin) * p.channels;
    for (; from < end; from += p.channels) {
      const Pack<T, width> gradient = load_pack<width>(dy + from);
      CG_UNROLL
      for (int part = 0; part < width; part += group) {
        const Pack<std::int32_t, group> steps = load_pack<group>(index + from + part);
        CG_UNROLL
        for (int j = 0; j < group; ++j) {
          total[part + j] += steps[j] == step ? to_float(gradient[part + j]) : 0.0F;
        }
      }
    }
    Pack<T, width> result;
    CG_UNROLL
    for (int j = 0; j < width; ++j) result[j] = from_float<T>(total[j]);
    store_pack(dx + i * width, result);
  }
}

template <class T, int width>
CG_KERNEL(block_threads)
void avg_pool_kernel(Pooling p, const T* __restrict__ x, T* __restrict__ y) {
  const std::int64_t items = p.records * p.outputs * (p.channels / width);
  for (std::int64_t i = first_item(); i < items; i += item_step()) {
    const Place at = place_of<width>(p, i, p.outputs);
    const Range range = p.window(at.step);
    const T* from = x + at.record * p.inputs * p.channels + at.channel;
    float total[width] = {};
    for (std::int64_t t = range.begin; t < range.end; ++t) {
      const Pack<T, width> pack = load_pack<width>(from + t * p.channels);
      CG_UNROLL
      for (int j = 0; j < width; ++j) total[j] += to_float(pack[j]);
    }
    const float weight = p.weight(at.step);
    Pack<T, width> result;
    CG_UNROLL
    for (int j = 0; j < width; ++j) result[j] = from_float<T>(total[j] * weight);
    store_pack(y + i * width, result);
  }
}

template <class T, int width>
CG_KERNEL(block_threads)
void avg_pool_backward_kernel(Pooling p, const T* __restrict__ dy, T* __restrict__ dx) {
  const std::int64_t items = p.records * p.inputs * (p.channels / width);
  for (std::int64_t i = first_item(); i < items; i += item_step()) {
    const Place at = place_of<width>(p, i, p.inputs);
    const Range range = p.covering(at.step);
    const T* from = dy + at.record * p.outputs * p.channels + at.channel;
    float total[width] = {};
    for (std::int64_t o = range.begin; o < range.end; ++o) {
      const Pack<T, width> pack = load_pack<width>(from + o * p.channels);
      const float weight = p.weight(o);
      CG_UNROLL
      for (int j = 0; j < width; ++j) total[j] += weight * to_float(pack[j]);
    }
    Pack<T, width> result;
    CG_UNROLL
    for (int j = 0; j < width; ++j) result[j] = from_float<T>(total[j]);
    store_pack(dx + i * width, result);
  }
}

// ---- The host's side ----------------------------------------------------------------------------

Pooling adaptive_pooling(const Dims& x, const Dims& y) {
  CG_CHECK(x.rank() == 3 && y.rank() == 3 && x[0] == y[0] && x[2] == y[2],
           "pooling takes [N, L, C] to [N, Lo, C], got " + x.to_string() + " and " + y.to_string());
  Pooling pooling{x[0], x[1], y[1], x[2]};
  constexpr std::int64_t limit = std::int64_t{1} << 30;
  pooling.narrow = x.numel() < limit && y.numel() < limit && (x[1] + 1) * (y[1] + 1) < limit;
  return pooling;
}

Pooling window_pooling(const Pool1dSpec& spec, const Dims& x, const Dims& y) {
  CG_CHECK(
      spec.kernel > 0 && spec.stride > 0 && spec.padding >= 0 && 2 * spec.padding <= spec.kernel,
      "a pooling kernel and stride are positive, its padding is at most half the kernel");
  Pooling pooling = adaptive_pooling(x, y);
  CG_CHECK(pooling.outputs == spec.output_length(pooling.inputs),
           "the pooled length of " + std::to_string(pooling.inputs) + " is " +
               std::to_string(spec.output_length(pooling.inputs)) + ", got " +
               std::to_string(pooling.outputs));
  pooling.kernel = spec.kernel;
  pooling.stride = spec.stride;
  pooling.padding = spec.padding;
  constexpr std::int64_t limit = std::int64_t{1} << 30;
  pooling.narrow = x.numel() < limit && y.numel() < limit && pooling.inputs < limit &&
                   spec.kernel < limit && spec.stride < limit;
  return pooling;
}

void check_pool_index(const ConstView& index, const Dims& y) {
  CG_CHECK(index.dims == y, "the index of a maximum has the shape " + y.to_string() + ", got " +
                                index.dims.to_string());
}

// f(element, width) with how many channels a thread takes, as a constant.
template <class F>
void dispatch_pooling(std::string_view operation, const Pooling& pooling,
                      std::initializer_list<ConstView> operands,
                      std::initializer_list<const void*> pointers, F&& f) {
  bool aligned = true;
  for (const void* pointer : pointers) aligned &= is_aligned(pointer, 16);
  dispatch_storage(operation, operands, [&](auto element) {
    constexpr int n = pack_size<decltype(element)>;
    if (aligned && pooling.channels % n == 0) {
      f(element, std::integral_constant<int, n>{});
    } else {
      f(element, std::integral_constant<int, 1>{});
    }
  });
}

void average_forward(const Device& device, std::string_view operation, const Pooling& pooling,
                     const ConstView& x, const View& y) {
  if (y.numel() == 0) return;
  dispatch_pooling(operation, pooling, {y, x}, {x.data, y.data}, [&](auto element, auto width) {
    using T = decltype(element);
    launch<avg_pool_kernel<T, width()>>(device.blocks_for(y.numel() / width()), block_threads, 0,
                                        device.stream, pooling, elements<T>(x), elements<T>(y));
  });
}

void average_backward(const Device& device, std::string_view operation, const Pooling& pooling,
                      const ConstView& dy, const View& dx) {
  if (dx.numel() == 0) return;
  dispatch_pooling(operation, pooling, {dx, dy}, {dx.data, dy.data}, [&](auto element, auto width) {
    using T = decltype(element);
    launch<avg_pool_backward_kernel<T, width()>>(device.blocks_for(dx.numel() / width()),
                                                 block_threads, 0, device.stream, pooling,
                                                 elements<T>(dy), elements<T>(dx));
  });
}

}  // namespace
}  // namespace cuda

void CudaBackend::max_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y, View index) {
  const cuda::Pooling pooling = cuda::window_pooling(spec, x.dims, y.dims);
  cuda::check_pool_index(index, y.dims);
  auto* steps = index.as<std::int32_t>();
  if (y.numel() == 0) return;
  cuda::dispatch_pooling(
      "max_pool1d", pooling, {y, x}, {x.data, y.data, index.data}, [&](auto element, auto width) {
        using T = decltype(element);
        cuda::launch<cuda::max_pool_kernel<T, width()>>(
            device_.blocks_for(y.numel() / width()), cuda::block_threads, 0, device_.stream,
            pooling, cuda::elements<T>(x), cuda::elements<T>(y), steps);
      });
}

void CudaBackend::max_pool1d_backward(const Pool1dSpec& spec, ConstView index, ConstView dy,
                                      View dx) {
  const cuda::Pooling pooling = cuda::window_pooling(spec, dx.dims, dy.dims);
  cuda::check_pool_index(index, dy.dims);
  const auto* steps = index.as<std::int32_t>();
  if (dx.numel() == 0) return;
  cuda::dispatch_pooling("max_pool1d", pooling, {dx, dy}, {dx.data, dy.data, index.data},
                         [&](auto element, auto width) {
                           using T = decltype(element);
                           cuda::launch<cuda::max_pool_backward_kernel<T, width()>>(
                               device_.blocks_for(dx.numel() / width()), cuda::block_threads, 0,
                               device_.stream, pooling, steps, cuda::elements<T>(dy),
                               cuda::elements<T>(dx));
                         });
}

void CudaBackend::avg_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y) {
  cuda::average_forward(device_, "avg_pool1d", cuda::window_pooling(spec, x.dims, y.dims), x, y);
}

void CudaBackend::avg_pool1d_backward(const Pool1dSpec& spec, ConstView dy, View dx) {
  cuda::average_backward(device_, "avg_pool1d", cuda::window_pooling(spec, dx.dims, dy.dims), dy,
                         dx);
}

void CudaBackend::adaptive_avg_pool1d_forward(ConstView x, View y) {
  const cuda::Pooling pooling = cuda::adaptive_pooling(x.dims, y.dims);
  if (pooling.outputs == 1 && pooling.inputs > 0) {
    sum(x, 1.0 / static_cast<double>(pooling.inputs), y);
    return;
  }
  if (pooling.inputs == 0) {
    fill(y, 0.0);
    return;
  }
  cuda::average_forward(device_, "adaptive_avg_pool1d", pooling, x, y);
}

void CudaBackend::adaptive_avg_pool1d_backward(ConstView dy, View dx) {
  const cuda::Pooling pooling = cuda::adaptive_pooling(dx.dims, dy.dims);
  cuda::average_backward(device_, "adaptive_avg_pool1d", pooling, dy, dx);
}

}  // namespace cardiograd
