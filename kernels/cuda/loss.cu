// Binary cross-entropy with logits and its focal forms: loss and gradient in one pass.
//
// Bytes an element: logits and targets are read once, losses (without a reduction) and gradients
// written once: 12 in f32 with a gradient; about 30 FLOPs, 80 where it focuses. Bound: memory, and
// for a classifier's few thousand logits the launches. A block sums one pack a thread, a second
// launch the blocks' sums, both in a fixed order.
#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/edge_pack.h"
#include "kernels/cuda/grid.h"
#include "kernels/loss_checks.h"

namespace cardiograd {
namespace cuda {
namespace {

// The spec in float, with the targets' smoothing as a line.
struct BceCoefficients {
  float keep;  // a target t counts as keep t + rise
  float rise;
  float gamma_positive;
  float gamma_negative;
  float margin;
  float positive;
  float negative;
  float gradient_scale;
};

struct BceElement {
  float loss;
  float gradient;
};

// What both forms start from: e^-|x|, log(1 + e^-|x|), and p = sigmoid(x) with 1 - p.
struct Sigmoid {
  float e, common, p, rest;

  CG_DEVICE explicit Sigmoid(float x)
      : e(math::exp(x < 0.0F ? x : -x)),
        common(math::log1p(e)),
        p((x < 0.0F ? e : 1.0F) / (1.0F + e)),
        rest((x < 0.0F ? 1.0F : e) / (1.0F + e)) {}
};

// With w = 1 + (pos_weight - 1) t: loss = (1 - t) x + w softplus(-x), where
// softplus(-x) = log(1 + e^-|x|) + max(-x, 0) never overflows.
CG_DEVICE BceElement bce_element(float x, float target, float pos_weight) {
  const Sigmoid s(x);
  const float softplus = s.common + (x < 0.0F ? -x : 0.0F);
  const float weight = 1.0F + (pos_weight - 1.0F) * target;
  return {(1.0F - target) * x + weight * softplus, (1.0F - target) - weight * s.rest};
}

// The terms of BceSpec with their slopes by the logit:
//   -(1 - p)^g log(p)      has  (1 - p)^g (g p log(p) - (1 - p)),
//   -q^g log(1 - q)        has  (q^g / (1 - q) - g q^(g - 1) log(1 - q)) p (1 - p) where q > 0.
CG_DEVICE BceElement focal_element(const BceCoefficients& c, float x, float target,
                                   float pos_weight) {
  const Sigmoid s(x);
  const float minus_log_p = s.common + (x < 0.0F ? -x : 0.0F);
  const float minus_log_rest = s.common + (x < 0.0F ? 0.0F : x);
  const float up = math::exp(-c.gamma_positive * minus_log_rest);
  const float up_share = c.positive * pos_weight * target;
  const float up_slope = -up * (c.gamma_positive * s.p * minus_log_p + s.rest);

  // Without a margin q is p, whose logarithms are there already.
  float down = math::exp(-c.gamma_negative * minus_log_p);
  float minus_log_rest_q = minus_log_rest;
  float over_rest = s.p;
  float over_q = s.rest;
  float down_share = c.negative * (1.0F - target);
  if (c.margin > 0.0F) {
    const float q = math::max(s.p - c.margin, 1e-30F);
    down = math::exp(c.gamma_negative * math::log(q));
    minus_log_rest_q = -math::log1p(-q);
    over_rest = s.p * s.rest / (1.0F - q);
    over_q = s.p * s.rest / q;
    if (s.p <= c.margin) down_share = 0.0F;
  }
  const float down_slope = down * (over_rest + c.gamma_negative * over_q * minus_log_rest_q);
  return {up_share * up * minus_log_p + down_share * down * minus_log_rest_q,
          up_share * up_slope + down_share * down_slope};
}

template <class T>
struct BceOperands {
  const T* logits;
  const T* targets;
  const T* pos_weight;  // may be null
  T* losses;            // null: reduced
  T* gradients;         // may be null
  std::int64_t count;
  std::int64_t classes;
  bool packed;  // all of them lie on 16 bytes
  bool focuses;
  BceCoefficients coefficients;
};

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
      const float target = o.coefficients.keep * to_float(targets[j]) + o.coefficients.rise;
      float weight = 1.0F;
      if (o.pos_weight != nullptr) {
        weight = to_float(o.pos_weight[column]);
        column = column + 1 == o.classes ? 0 : column + 1;
      }
      const BceElement one = o.focuses ? focal_element(o.coefficients, x, target, weight)
                                       : bce_element(x, target, weight);
      if (j < left) total += one.loss;
      losses[j] = from_float<T>(one.loss);
      gradients[j] = from_float<T>(o.coefficients.gradient_scale * one.gradient);
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

void CudaBackend::bce_with_logits(const BceSpec& spec, ConstView logits, ConstView targets,
                                  ConstView pos_weight, View loss, View dlogits) {
  check_bce(spec, logits, targets, pos_weight, loss, dlogits);
  const std::int64_t count = logits.numel();
  const bool elementwise = spec.reduction == Reduction::none;
  const double scale = bce_scale(spec, count);
  const cuda::BceCoefficients coefficients{
      static_cast<float>(1.0 - spec.smoothing), static_cast<float>(spec.smoothing / 2.0),
      static_cast<float>(spec.gamma_positive),  static_cast<float>(spec.gamma_negative),
      static_cast<float>(spec.margin),          static_cast<float>(spec.positive),
      static_cast<float>(spec.negative),        static_cast<float>(scale)};
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
                                      pos_weight.present() ? logits.dims[-1] : 1,
                                      false,
                                      spec.focuses(),
                                      coefficients};
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
