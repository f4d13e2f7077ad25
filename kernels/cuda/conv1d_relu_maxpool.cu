// Convolution, bias, ReLU and max-pooling in one pass, and its gradients.
//
// Without groups the forward pass is conv1d_tile.h's, whose tiles are pooled in shared memory: y is
// `pool` times smaller than what it saves from memory, and winner adds a byte an element. The
// gradients are conv1d_tile.h's and conv1d_weight.h's, reading dy through winner, so that the
// full-length gradient is never stored either. In bf16 and TF32 the forward pass pools
// tensor_tile.h's tiles in shared memory, and the full-length gradient is stored for the products
// on tensor cores. With groups, all of it from its parts. Where there is cuDNN, its convolution,
// bias and ReLU in one graph, pooled by our kernel, compete with the forward pass in f32.
#include "kernels/cuda/conv1d_grouped.h"
#include "kernels/cuda/conv1d_plans.h"
#include "kernels/cuda/conv1d_tensor.h"
#include "kernels/cuda/conv1d_tile.h"
#include "kernels/cuda/conv1d_weight.h"
#include "kernels/cuda/cuda_backend_impl.h"

namespace cardiograd {
namespace cuda {
namespace {

// The gradient before pooling and ReLU, [records, length, channels], from dy and winner
// [records, length / pool, channels]: dy where an element won and lives, 0 elsewhere.
template <class T>
struct UnpooledRows {
  const T* dy = nullptr;
  const std::uint8_t* winner = nullptr;
  std::int64_t pool = 1;
  std::int64_t pooled = 0;
  std::int64_t channels = 0;
  bool packed = false;

  UnpooledRows(const T* dy_, const std::uint8_t* winner_, std::int64_t pool_, std::int64_t pooled_,
               std::int64_t channels_)
      : dy(dy_),
        winner(winner_),
        pool(pool_),
        pooled(pooled_),
        channels(channels_),
        packed(fours_fit(dy_, channels_) && fours_fit(winner_, channels_)) {}

  CG_DEVICE Pack<float, 4> four(std::int64_t record, std::int64_t step,
                                std::int64_t channel) const {
    const std::int64_t window = step / pool;
    if (window >= pooled || channel >= channels) return {};
    const auto position = static_cast<int>(step % pool);
    const std::int64_t at = (record * pooled + window) * channels + channel;
    Pack<float, 4> four = load_four(dy + at, channels - channel, packed);
    Pack<std::uint8_t, 4> won{};
    if (packed) {
      won = load_pack<4>(winner + at);
    } else {
      for (int k = 0; k < 4; ++k) {
        if (channel + k < channels) won[k] = winner[at + k];
      }
    }
    CG_UNROLL
    for (int k = 0; k < 4; ++k) {
      if (won[k] != position) four[k] = 0.0F;
    }
    return four;
  }
};

constexpr int alive_columns = 32;
constexpr int alive_lanes = block_threads / alive_columns;
constexpr std::int64_t alive_chunk = 512;  // rows that a block sums

// partial[chunk, channel]: the sum of dy over the chunk's rows where the window's winner lives.
// Bytes: sizeof(T) + 1 an element of dy. Bound: memory.
template <class T>
CG_KERNEL(block_threads)
void alive_sums_kernel(const T* __restrict__ dy, const std::uint8_t* __restrict__ winner,
                       std::int64_t rows, std::int64_t channels, float* __restrict__ partial) {
  CG_SHARED(float[alive_lanes][alive_columns], part);
  const auto column = static_cast<int>(threadIdx.x);
  const auto lane = static_cast<int>(threadIdx.y);
  const std::int64_t across = (channels + alive_columns - 1) / alive_columns;
  const std::int64_t chunks = (rows + alive_chunk - 1) / alive_chunk;
  for (std::int64_t item = blockIdx.x; item < across * chunks; item += gridDim.x) {
    const std::int64_t channel = item % across * alive_columns + column;
    const std::int64_t chunk = item / across;
    const std::int64_t end = least_of((chunk + 1) * alive_chunk, rows);
    float total = 0.0F;
    if (channel < channels) {
      for (std::int64_t row = chunk * alive_chunk + lane; row < end; row += alive_lanes) {
        const std::int64_t at = row * channels + channel;
        if (winner[at] != Backend::conv_relu_pool_dead) total += to_float(dy[at]);
      }
    }
    part[lane][column] = total;
    sync_block();
    if (lane == 0 && channel < channels) {
      for (int other = 1; other < alive_lanes; ++other) total += part[other][column];
      partial[chunk * channels + channel] = total;
    }
    sync_block();  // part is written again
  }
}

template <class T>
void bias_gradient(const Device& device, BlockCache& blocks, const T* dy,
                   const std::uint8_t* winner, std::int64_t rows, std::int64_t channels, T* dbias) {
  const std::int64_t chunks = (rows + alive_chunk - 1) / alive_chunk;
  const Scratch<float> partial(blocks, chunks * channels);
  const std::int64_t items = (channels + alive_columns - 1) / alive_columns * chunks;
  launch<alive_sums_kernel<T>>(device.blocks_for(items, 1), dim3(alive_columns, alive_lanes), 0,
                               device.stream, dy, winner, rows, channels, partial.data());
  sum_partials(device, partial.data(), chunks, channels, static_cast<const T*>(nullptr), 1, dbias);
}

// From its parts: y and winner from the full-length convolution, which is in f32.
template <class T>
CG_KERNEL(block_threads)
void relu_pool_kernel(const float* __restrict__ full, std::int64_t length, int pool,
                      std::int64_t channels, std::int64_t count, T* __restrict__ y,
                      std::uint8_t* __restrict__ winner) {
  const std::int64_t pooled = length / pool;
  for (std::int64_t i = first_item(); i < count; i += item_step()) {
    const std::int64_t step = i / channels % pooled * pool;
    const std::int64_t row = i / channels / pooled * length + step;
    std::uint8_t won = 0;
    y[i] =
        from_float<T>(relu_pool(full + row * channels + i % channels, channels, pool, 0.0F, won));
    winner[i] = won;
  }
}

// From its parts: the full-length gradient.
template <class T>
CG_KERNEL(block_threads)
void unpool_kernel(UnpooledRows<T> rows, std::int64_t length, std::int64_t count,
                   T* __restrict__ full) {
  const std::int64_t fours = (rows.channels + 3) / 4;
  for (std::int64_t i = first_item(); i < count * fours; i += item_step()) {
    const std::int64_t row = i / fours;
    const std::int64_t channel = i % fours * 4;
    store_four(full + row * rows.channels + channel, rows.four(row / length, row % length, channel),
               rows.channels - channel, rows.packed);
  }
}

template <class T>
void forward_in_parts(const Device& device, BlockCache& blocks, const Conv1dShape& shape,
                      const T* x, const T* weight, const WritePooled<T>& out) {
  const Scratch<float> full(blocks, shape.records * shape.output_length * shape.outputs);
  convolve_groups(device, Convolution<false>{shape, forward_walk(shape, shape.output_length)}, x,
                  weight, out.bias, full.data());
  const std::int64_t count = shape.records * (shape.output_length / out.pool) * shape.outputs;
  launch<relu_pool_kernel<T>>(device.blocks_for(count), block_threads, 0, device.stream,
                              full.data(), shape.output_length, out.pool, shape.outputs, count,
                              out.y, out.winner);
}

template <bool on_tensor_cores, class T>
void fused_forward(const Device& device, BlockCache& blocks, const Conv1dShape& shape, const T* x,
                   const T* weight, const WritePooled<T>& out) {
  const Convolution<false> convolution{
      shape, forward_walk(shape, shape.output_length / out.pool * out.pool)};
  if constexpr (on_tensor_cores) {
    if (shape.spec.groups == 1 && out.pool <= tensor_pool_most) {
      tensor_product(device, {tensor_patches(convolution, x), true},
                     tensor_weights(convolution, weight),
                     TensorPool<T>{out.bias, out.y, out.winner, out.pool});
      return;
    }
  } else if (shape.spec.groups == 1) {
    convolve_tiles(device, convolution, out.pool, Rows<T>(x, shape.length, shape.inputs), weight,
                   out);
    return;
  }
  forward_in_parts(device, blocks, shape, x, weight, out);
}

// cuDNN's convolution with bias and ReLU, pooled by our kernel: the full length lies behind the
// workspace of the former. In bf16 it would be rounded before the winners are known.
std::vector<Candidate> pooled_offers(Backend& backend, const Device& device, Planner& planner,
                                     const ConvolutionPlan& plan, int pool) {
  if (plan.dtype != DType::f32) return {};
  std::vector<Candidate> all;
  const Conv1dShape& shape = plan.shape;
  const std::int64_t rows = shape.records * shape.output_length;
  const std::int64_t count = shape.records * (shape.output_length / pool) * shape.outputs;
  for (Candidate& pooled : convolutions_of(backend, planner, plan)) {
    const std::size_t place = (pooled.workspace + 255) / 256 * 256;
    pooled.workspace = place + static_cast<std::size_t>(rows * shape.outputs) * sizeof(float);
    pooled.run = [device, pool, count, place, length = shape.output_length,
                  channels = shape.outputs,
                  convolve = std::move(pooled.run)](const PlanOperands& operands) {
      auto* full = reinterpret_cast<float*>(static_cast<std::byte*>(operands.workspace) + place);
      PlanOperands unpooled = operands;
      unpooled.out[0] = full;
      convolve(unpooled);
      launch<relu_pool_kernel<float>>(
          device.blocks_for(count), block_threads, 0, device.stream, full, length, pool, channels,
          count, static_cast<float*>(operands.out[0]), static_cast<std::uint8_t*>(operands.out[1]));
    };
    all.push_back(std::move(pooled));
  }
  return all;
}

// Where tensor cores multiply by TF32, the time to store the full-length gradient and read it twice
// (12 bytes an element) is that of 70 products in f32.
bool gradient_is_stored(const Planner* planner, const Conv1dShape& shape) {
  return shape.spec.groups > 1 ||
         (planner != nullptr && planner->math(DType::f32) == MathMode::tf32 &&
          shape.kernel * shape.inputs > 70);
}

// Without groups, in f32: dx (null: not wanted) and dweight.
void fused_backward(const Device& device, BlockCache& blocks, const Conv1dShape& shape,
                    const UnpooledRows<float>& rows, const float* x, const float* weight, float* dx,
                    float* dweight) {
  if (dx != nullptr) {
    for_each_phase(shape, [&](const Convolution<true>& convolution) {
      convolve_tiles(device, convolution, 1, rows, weight,
                     WriteRows<float>{nullptr, dx, fours_fit(dx, shape.inputs)});
    });
  }
  if (shape.inputs * shape.outputs > 0) {
    conv_weight_gradient(device, blocks, shape, Rows<float>(x, shape.length, shape.inputs), rows,
                         dweight);
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::conv1d_relu_maxpool_forward(const Conv1dSpec& spec, std::int64_t pool,
                                              ConstView x, ConstView weight, ConstView bias, View y,
                                              View winner) {
  const Conv1dShape shape = fused_shape(spec, pool, x.dims, weight.dims, y.dims, winner);
  check_bias(shape, bias);
  auto* winners = winner.as<std::uint8_t>();
  if (y.numel() == 0) return;
  cuda::dispatch_storage("conv1d_relu_maxpool", {y, x, weight, bias}, [&](auto element) {
    using T = decltype(element);
    const cuda::PlanOperands call{{x.data, weight.data, bias.data}, {y.data, winners}};
    cuda::ConvolutionPlan plan =
        cuda::plan_of(planner_.get(), cuda::ConvolutionPass::forward, shape, y.dtype, call);
    plan.alignment = cuda::common_alignment({x.data});
    plan.relu = true;
    const auto own = [this, shape, pool](auto tensor_cores, const cuda::PlanOperands& o) {
      const cuda::WritePooled<T> out{static_cast<const T*>(o.in[2]), static_cast<T*>(o.out[0]),
                                     static_cast<std::uint8_t*>(o.out[1]), static_cast<int>(pool)};
      cuda::fused_forward<tensor_cores.value>(device_, blocks_, shape,
                                              static_cast<const T*>(o.in[0]),
                                              static_cast<const T*>(o.in[1]), out);
    };
    cuda::run_convolution<T>(
        planner_.get(), cuda::key_of("conv1d_relu_maxpool_forward", plan, call, pool), plan, call,
        own, [&] {
          return cuda::pooled_offers(*this, device_, *planner_, plan, static_cast<int>(pool));
        });
  });
}

void CudaBackend::conv1d_relu_maxpool_backward(const Conv1dSpec& spec, std::int64_t pool,
                                               ConstView x, ConstView weight, ConstView winner,
                                               ConstView dy, View dx, View dweight, View dbias) {
  const Conv1dShape shape = fused_shape(spec, pool, x.dims, weight.dims, dy.dims, winner);
  check_bias(shape, dbias);
  check_fused_gradients(x.dims, weight.dims, dx, dweight);
  const auto* winners = winner.as<std::uint8_t>();
  if (dy.numel() == 0) {
    for (const View& gradient : {dx, dweight, dbias}) {
      if (gradient.present()) fill(gradient, 0.0);
    }
    return;
  }
  cuda::dispatch_storage("conv1d_relu_maxpool", {dweight, x, weight, dy, dx, dbias}, [&](auto e) {
    using T = decltype(e);
    const std::int64_t pooled = shape.output_length / pool;
    const cuda::UnpooledRows<T> rows(cuda::elements<T>(dy), winners, pool, pooled, shape.outputs);
    if (dbias.present()) {
      cuda::bias_gradient(device_, blocks_, rows.dy, winners, shape.records * pooled, shape.outputs,
                          cuda::elements<T>(dbias));
    }
    if constexpr (std::is_same_v<T, float>) {
      if (!cuda::gradient_is_stored(planner_.get(), shape)) {
        cuda::fused_backward(device_, blocks_, shape, rows, cuda::elements<T>(x),
                             cuda::elements<T>(weight),
                             dx.present() && dx.numel() > 0 ? cuda::elements<T>(dx) : nullptr,
                             cuda::elements<T>(dweight));
        return;
      }
    }
    const std::int64_t count = shape.records * shape.output_length;
    const Scratch<T> full(blocks_, count * shape.outputs);
    cuda::launch<cuda::unpool_kernel<T>>(device_.blocks_for(count * ((shape.outputs + 3) / 4)),
                                         cuda::block_threads, 0, device_.stream, rows,
                                         shape.output_length, count, full.data());
    const ConstView gradient{
        full.data(), dy.dtype, {shape.records, shape.output_length, shape.outputs}};
    if (dx.present()) conv1d_backward_data(spec, gradient, weight, dx);
    conv1d_backward_weight(spec, x, gradient, dweight, {});
  });
}

}  // namespace cardiograd
