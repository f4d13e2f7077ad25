// fill, copy, cast, accumulate, scale, and add and multiply with broadcasting.
//
// Bytes an element: fill 1 x its size, copy, cast and scale 2 x, accumulate, add and multiply 3 x
// (less where an operand is broadcast: it stays in the caches). At most one FLOP an element.
// Bound: memory. map_kernel and fill_kernel move 16 bytes a thread; cast_kernel reads one pack of
// the wider type's count; broadcast_kernel goes element by element, coalesced along y.
#include "kernels/convert.h"
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/map.h"
#include "kernels/plans.h"

namespace cardiograd {
namespace cuda {
namespace {

struct Add {
  static constexpr int inputs = 2;
  CG_DEVICE float operator()(float a, float b) const { return a + b; }
};
struct Multiply {
  static constexpr int inputs = 2;
  CG_DEVICE float operator()(float a, float b) const { return a * b; }
};
struct Scale {
  static constexpr int inputs = 1;
  float alpha;
  CG_DEVICE float operator()(float a, float) const { return alpha * a; }
};

// ---- fill: by the element's size alone ----------------------------------------------------------

template <class Unit>
CG_KERNEL(block_threads)
void fill_kernel(Unit* y, Unit value, Split split) {
  constexpr int n = pack_size<Unit>;
  Pack<Unit, n> pack;
  CG_UNROLL
  for (int j = 0; j < n; ++j) pack[j] = value;
  for (std::int64_t i = first_item(); i < split.packs; i += item_step()) {
    store_pack(y + split.head + i * n, pack);
  }
  const std::int64_t in_packs = split.packs * n;
  for (std::int64_t i = first_item(); i < split.count - in_packs; i += item_step()) {
    y[i < split.head ? i : i + in_packs] = value;
  }
}

template <class Unit>
void fill_units(const Device& device, void* y, Unit value, std::int64_t count) {
  const Split parts = split<Unit>(count, {y});
  const std::int64_t items = std::max(parts.packs, count - parts.packs * pack_size<Unit>);
  launch<fill_kernel<Unit>>(device.blocks_for(items), block_threads, 0, device.stream,
                            static_cast<Unit*>(y), value, parts);
}

// ---- cast ---------------------------------------------------------------------------------------

// Between storage types: four elements a thread where both sides lie on a boundary of as many.
template <class From, class To>
CG_KERNEL(block_threads)
void cast_kernel(const From* __restrict__ x, To* __restrict__ y, std::int64_t count, bool packed) {
  const std::int64_t packs = packed ? count / 4 : 0;
  for (std::int64_t i = first_item(); i < packs; i += item_step()) {
    const Pack<From, 4> from = load_pack<4>(x + i * 4);
    Pack<To, 4> to;
    CG_UNROLL
    for (int j = 0; j < 4; ++j) to[j] = from_float<To>(to_float(from[j]));
    store_pack(y + i * 4, to);
  }
  for (std::int64_t i = packs * 4 + first_item(); i < count; i += item_step()) {
    y[i] = from_float<To>(to_float(x[i]));
  }
}

template <class From, class To>
void cast_storage(const Device& device, const ConstView& x, const View& y) {
  const std::int64_t count = x.numel();
  const bool packed = is_aligned(x.data, 4 * sizeof(From)) && is_aligned(y.data, 4 * sizeof(To));
  launch<cast_kernel<From, To>>(device.blocks_for(packed ? (count + 3) / 4 : count), block_threads,
                                0, device.stream, static_cast<const From*>(x.data),
                                static_cast<To*>(y.data), count, packed);
}

// Every other pair, none of them in a training step: one kernel that looks at the dtypes, instead
// of one for each pair. Every type's values are exact in double.
CG_KERNEL(block_threads)
void cast_any_kernel(const void* __restrict__ x, DType x_dtype, void* __restrict__ y, DType y_dtype,
                     std::int64_t count) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const double value = dispatch(x_dtype, [&](auto element) {
      return convert_element<double>(static_cast<const decltype(element)*>(x)[i]);
    });
    dispatch(y_dtype, [&](auto element) {
      using To = decltype(element);
      static_cast<To*>(y)[i] = convert_element<To>(value);
    });
  }
}

// ---- Broadcasting -------------------------------------------------------------------------------

// Index: 32 bits wherever y has fewer than 2^31 elements, because a division of 64 bits costs
// several times one of 32.
template <class T, class Index, class Operation>
CG_KERNEL(block_threads)
void broadcast_kernel(Operation operation, BroadcastPlan plan, const T* a, const T* b, T* y,
                      std::int64_t count) {
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    auto rest = static_cast<Index>(i);
    std::int64_t a_offset = 0;
    std::int64_t b_offset = 0;
    CG_UNROLL
    for (int loop = Dims::max_rank - 1; loop >= 0; --loop) {
      if (loop < plan.loops) {
        const auto size = static_cast<Index>(plan.size[loop]);
        const Index position = rest % size;
        rest /= size;
        a_offset += static_cast<std::int64_t>(position) * plan.a_stride[loop];
        b_offset += static_cast<std::int64_t>(position) * plan.b_stride[loop];
      }
    }
    float right = 0.0F;
    if constexpr (Operation::inputs == 2) right = to_float(b[b_offset]);
    y[i] = from_float<T>(operation(to_float(a[a_offset]), right));
  }
}

template <class T, class Operation>
void broadcast(const Device& device, const Operation& operation, const BroadcastPlan& plan,
               const T* a, const T* b, T* y, std::int64_t count) {
  if (count == 0) return;
  const unsigned blocks = device.blocks_for(count);
  if (count < std::int64_t{1} << 31) {
    launch<broadcast_kernel<T, std::uint32_t, Operation>>(blocks, block_threads, 0, device.stream,
                                                          operation, plan, a, b, y, count);
  } else {
    launch<broadcast_kernel<T, std::uint64_t, Operation>>(blocks, block_threads, 0, device.stream,
                                                          operation, plan, a, b, y, count);
  }
}

template <class Operation>
void combine(const Device& device, std::string_view name, const ConstView& a, const ConstView& b,
             const View& y) {
  const BroadcastPlan plan = plan_broadcast(name, a.dims, b.dims, y.dims);
  dispatch_storage(name, {y, a, b}, [&](auto element) {
    using T = decltype(element);
    const T* left = elements<T>(a);
    const T* right = elements<T>(b);
    if (a.dims == y.dims && b.dims == y.dims) {
      map(device, Operation{}, left, right, elements<T>(y), y.numel());
    } else {
      broadcast(device, Operation{}, plan, left, right, elements<T>(y), y.numel());
    }
  });
}

}  // namespace
}  // namespace cuda

void CudaBackend::fill(View y, double value) {
  dispatch(y.dtype, [&](auto element) {
    const auto bits = convert_element<decltype(element)>(value);
    if constexpr (sizeof(element) == 1) {
      cuda::fill_units(device_, y.data, std::bit_cast<std::uint8_t>(bits), y.numel());
    } else if constexpr (sizeof(element) == 2) {
      cuda::fill_units(device_, y.data, std::bit_cast<std::uint16_t>(bits), y.numel());
    } else if constexpr (sizeof(element) == 4) {
      cuda::fill_units(device_, y.data, std::bit_cast<std::uint32_t>(bits), y.numel());
    } else {
      cuda::fill_units(device_, y.data, std::bit_cast<std::uint64_t>(bits), y.numel());
    }
  });
}

void CudaBackend::copy(ConstView x, View y) {
  CG_CHECK(x.dtype == y.dtype, "copy: cannot copy " + std::string(name_of(x.dtype)) + " to " +
                                   std::string(name_of(y.dtype)) + ", use cast");
  CG_CHECK(x.numel() == y.numel(), misfit("copy", x.dims, y.dims));
  cuda::copy_on_device(y.data, x.data, x.bytes(), device_.stream);
}

void CudaBackend::cast(ConstView x, View y) {
  CG_CHECK(x.numel() == y.numel(), misfit("cast", x.dims, y.dims));
  if (x.dtype == y.dtype) {
    copy(x, y);
    return;
  }
  if (x.dtype == DType::f32 && y.dtype == DType::bf16) {
    cuda::cast_storage<float, BFloat16>(device_, x, y);
  } else if (x.dtype == DType::bf16 && y.dtype == DType::f32) {
    cuda::cast_storage<BFloat16, float>(device_, x, y);
  } else {
    cuda::launch<cuda::cast_any_kernel>(device_.blocks_for(x.numel()), cuda::block_threads, 0,
                                        device_.stream, x.data, x.dtype, y.data, y.dtype,
                                        x.numel());
  }
}

void CudaBackend::accumulate(ConstView x, View y) {
  require_same_shape("accumulate", x.dims, y.dims);
  cuda::dispatch_storage("accumulate", {y, x}, [&](auto element) {
    using T = decltype(element);
    T* to = cuda::elements<T>(y);
    cuda::map<T>(device_, cuda::Add{}, to, cuda::elements<T>(x), to, y.numel());
  });
}

void CudaBackend::scale(ConstView x, double alpha, View y) {
  require_same_shape("scale", x.dims, y.dims);
  cuda::dispatch_storage("scale", {y, x}, [&](auto element) {
    using T = decltype(element);
    cuda::map<T>(device_, cuda::Scale{static_cast<float>(alpha)}, cuda::elements<T>(x), nullptr,
                 cuda::elements<T>(y), y.numel());
  });
}

void CudaBackend::add(ConstView a, ConstView b, View y) {
  cuda::combine<cuda::Add>(device_, "add", a, b, y);
}

void CudaBackend::multiply(ConstView a, ConstView b, View y) {
  cuda::combine<cuda::Multiply>(device_, "multiply", a, b, y);
}

void CudaBackend::expand(ConstView x, double alpha, View y) {
  check_keepdim("expand", y.dims, x.dims);
  const BroadcastPlan plan = plan_broadcast("expand", x.dims, Dims{}, y.dims);
  cuda::dispatch_storage("expand", {y, x}, [&](auto element) {
    using T = decltype(element);
    cuda::broadcast<T>(device_, cuda::Scale{static_cast<float>(alpha)}, plan, cuda::elements<T>(x),
                       nullptr, cuda::elements<T>(y), y.numel());
  });
}

}  // namespace cardiograd
