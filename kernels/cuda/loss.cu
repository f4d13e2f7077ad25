// Binary cross-entropy with logits: loss and gradient in one pass.
//
// Bytes an element: logits and targets are read once, losses (without a reduction) and gradients
// written once: 12 in f32 with a gradient; about 30 FLOPs. Bound: memory, and for a classifier's
// few thousand logits the launches. A block sums one pack a thread, a second launch the blocks'
// sums, both in a fixed order.
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/edge_pack.h"
#include "kernels/cuda/grid.h"

namespace cardiograd {
namespace cuda {
namespace {

template <class T>
struct BceOperands {
  const T* logits;
  const T* targets;
  const T* pos_weight;  // may be null
  T* losses;            // null: reduced
  T* gradients;         // may be null
  std::int64_t count;
  std::int64_t classes;
  float scale;  // of the gradients
  bool packed;  // all of them lie on 16 bytes
};

// With w = 1 + (pos_weight - 1) t: loss = (1 - t) x + w softplus(-x), where
// softplus(-x) = log(1 + e^-|x|) + max(-x, 0) never overflows.
template <class T>
CG_KERNEL(block_threads)
void bce_kernel(BceOperands<T> o, float* __restrict__ partial) {
  constexpr int n = pack_size<T>;
  constexpr std::int64_t chunk = block_threads * n;
  for (std::int64_t block = blockIdx.x; block * chunk < o.count; block += gridDim.x) {
    const std::int64_t at = block * chunk + static_cast<std::int64_t>(threadIdx.x) * n;
    const std::int64_t left = o.count - at;
    const Pack<T, n> logits = load_some<n>(o.logits + at, left, o.packed);
    const Pack<T, n> targets = load_some<n>(o.targets + at, left, o.packed);
    std::int64_t column = o.pos_weight != nullptr ? at % o.classes : 0;
    Pack<T, n> losses;
    Pack<T, n> gradients;
    float total = 0.0F;
    CG_UNROLL
    for (int j = 0; j < n; ++j) {
      const float x = to_float(logits[j]);
      const float target = to_float(targets[j]);
      float weight = 1.0F;
      if (o.pos_weight != nullptr) {
        weight += (to_float(o.pos_weight[column]) - 1.0F) * target;
        column = column + 1 == o.classes ? 0 : column + 1;
      }
      const float e = math::exp(x < 0.0F ? x : -x);
      const float softplus = math::log1p(e) + (x < 0.0F ? -x : 0.0F);
      const float falling = (x < 0.0F ? 1.0F : e) / (1.0F + e);  // sigmoid(-x)
      const float loss = (1.0F - target) * x + weight * softplus;
      if (j < left) total += loss;
      losses[j] = from_float<T>(loss);
      gradients[j] = from_float<T>(o.scale * ((1.0F - target) - weight * falling));
    }
    if (o.gradients != nullptr) store_some(o.gradients + at, gradients, left, o.packed);
    if (o.losses != nullptr) {
      store_some(o.losses + at, losses, left, o.packed);
    } else {
      total = block_sum<block_threads>(total);
      if (threadIdx.x == 0) partial[block] = total;
    }
  }
}

// loss = scale * sum of partial, by one block.
template <class T>
CG_KERNEL(block_threads)
void bce_total_kernel(const float* __restrict__ partial, std::int64_t count, double scale,
                      T* __restrict__ loss) {
  double total = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += block_threads) {
    total += static_cast<double>(partial[i]);
  }
  total = block_sum<block_threads>(total);
  if (threadIdx.x == 0) *loss = from_float<T>(static_cast<float>(total * scale));
}

}  // namespace
}  // namespace cuda

void CudaBackend::bce_with_logits(ConstView logits, ConstView targets, ConstView pos_weight,
                                  Reduction reduction, View loss, View dlogits) {
  require_same_shape("bce_with_logits", logits.dims, targets.dims);
  if (dlogits.present()) require_same_shape("bce_with_logits", logits.dims, dlogits.dims);
  const std::int64_t count = logits.numel();
  std::int64_t classes = 1;
  if (pos_weight.present()) {
    CG_CHECK(logits.dims.rank() >= 1, "bce_with_logits: pos_weight needs a class axis");
    classes = logits.dims[-1];
    require_vector("bce_with_logits", pos_weight.dims, classes);
  }
  const bool elementwise = reduction == Reduction::none;
  if (elementwise) {
    require_same_shape("bce_with_logits", logits.dims, loss.dims);
  } else {
    CG_CHECK(loss.numel() == 1,
             "bce_with_logits: a reduced loss is one element, got " + loss.dims.to_string());
  }
  const double scale = reduction == Reduction::mean
                           ? 1.0 / static_cast<double>(std::max<std::int64_t>(count, 1))
                           : 1.0;
  cuda::dispatch_storage(
      "bce_with_logits", {logits, targets, pos_weight, loss, dlogits}, [&](auto element) {
        using T = decltype(element);
        const std::int64_t chunk = cuda::block_threads * cuda::pack_size<T>;
        const std::int64_t chunks = (count + chunk - 1) / chunk;
        const Scratch<float> partial(blocks_, elementwise ? 0 : chunks);
        cuda::BceOperands<T> operands{cuda::elements<T>(logits),
                                      cuda::elements<T>(targets),
                                      cuda::elements<T>(pos_weight),
                                      elementwise ? cuda::elements<T>(loss) : nullptr,
                                      cuda::elements<T>(dlogits),
                                      count,
                                      classes,
                                      static_cast<float>(scale),
                                      false};
        operands.packed =
            cuda::is_aligned(operands.logits, 16) && cuda::is_aligned(operands.targets, 16) &&
            cuda::is_aligned(operands.losses, 16) && cuda::is_aligned(operands.gradients, 16);
        cuda::launch<cuda::bce_kernel<T>>(device_.blocks_for(chunks, 1), cuda::block_threads, 0,
                                          device_.stream, operands, partial.data());
        if (elementwise) return;
        cuda::launch<cuda::bce_total_kernel<T>>(1, cuda::block_threads, 0, device_.stream,
                                                static_cast<const float*>(partial.data()), chunks,
                                                scale, cuda::elements<T>(loss));
      });
}

}  // namespace cardiograd
