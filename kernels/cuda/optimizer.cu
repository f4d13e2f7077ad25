// Gradient norm, and the steps of SGD, RMSprop, Adam and AdamW over the flat buffer of all
// parameters. All of it is f32: these are the master weights.
//
// Bytes an element: the norm reads 4; a step reads the gradient, and reads and writes the parameter
// and each state: 12 for plain SGD, 28 for Adam, with at most 20 FLOPs. Bound: memory. The clipping
// factor is read where it lies on the device, so a step waits for no host and costs no pass more.
// The order of operations is PyTorch's, so that trajectories agree to rounding.
#include <array>
#include <cmath>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/edge_pack.h"
#include "kernels/cuda/grid.h"

namespace cardiograd {
namespace cuda {
namespace {

// ---- Gradient norm ------------------------------------------------------------------------------

constexpr int norm_turns = 4;  // packs that a thread squares
template <class T>
inline constexpr std::int64_t norm_chunk = std::int64_t{block_threads} * norm_turns* pack_size<T>;

// partial[block] = sum of the squares of its chunk.
template <class T>
CG_KERNEL(block_threads)
void square_sum_kernel(const T* __restrict__ x, std::int64_t count, bool packed,
                       double* __restrict__ partial) {
  constexpr int n = pack_size<T>;
  for (std::int64_t block = blockIdx.x; block * norm_chunk<T> < count; block += gridDim.x) {
    double total = 0.0;
    CG_UNROLL
    for (int turn = 0; turn < norm_turns; ++turn) {
      const std::int64_t at = block * norm_chunk<T> +
                              (turn * block_threads + static_cast<std::int64_t>(threadIdx.x)) * n;
      const Pack<T, n> pack = load_some<n>(x + at, count - at, packed);
      CG_UNROLL
      for (int j = 0; j < n; ++j) {
        // The square of a large gradient leaves float's range, its norm does not.
        const auto value = static_cast<double>(to_float(pack[j]));
        total += value * value;
      }
    }
    total = block_sum<block_threads>(total);
    if (threadIdx.x == 0) partial[block] = total;
  }
}

// By one block. A NaN norm gives a NaN factor, as in PyTorch: it must not pass for a healthy step.
template <class T>
CG_KERNEL(block_threads)
void gradient_norm_kernel(const double* __restrict__ partial, std::int64_t count, double max_norm,
                          T* __restrict__ norm, T* __restrict__ factor) {
  double total = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += block_threads) total += partial[i];
  total = block_sum<block_threads>(total);
  if (threadIdx.x != 0) return;
  const double length = std::sqrt(total);
  const double ratio = max_norm > 0.0 ? max_norm / (length + 1e-6) : 1.0;
  *norm = from_float<T>(static_cast<float>(length));
  *factor = from_float<T>(ratio > 1.0 ? 1.0F : static_cast<float>(ratio));
}

// ---- Steps --------------------------------------------------------------------------------------
// A rule says how many states it has, and what one element's gradient (clipped already) does to its
// parameter and states.

// SGD with momentum (Sutskever et al. 2013, in PyTorch's form).
template <bool with_momentum>
struct Sgd {
  static constexpr int states = with_momentum ? 1 : 0;
  float lr;
  float l2;
  float momentum;
  float take;  // 1 - dampening
  bool first;  // the first step copies the gradient, without dampening
  bool nesterov;

  CG_DEVICE void operator()(float gradient, float& parameter, float* state) const {
    const float g = gradient + l2 * parameter;
    float update = g;
    if constexpr (with_momentum) {
      const float v = first ? g : state[0] * momentum + take * g;
      state[0] = v;
      update = nesterov ? g + momentum * v : v;
    }
    parameter -= lr * update;
  }
};

// RMSprop (Tieleman & Hinton 2012; centered: Graves 2013).
template <bool centered, bool with_momentum>
struct Rmsprop {
  static constexpr int states = 1 + (centered ? 1 : 0) + (with_momentum ? 1 : 0);
  float lr;
  float l2;
  float alpha;
  float take;  // 1 - alpha
  float eps;
  float momentum;

  CG_DEVICE void operator()(float gradient, float& parameter, float* state) const {
    const float g = gradient + l2 * parameter;
    const float square = state[0] * alpha + take * g * g;
    state[0] = square;
    float variance = square;
    if constexpr (centered) {
      const float mean = state[1] + take * (g - state[1]);
      state[1] = mean;
      variance = square - mean * mean;
    }
    const float denominator = math::sqrt(variance) + eps;
    if constexpr (with_momentum) {
      float& velocity = state[states - 1];
      velocity = velocity * momentum + g / denominator;
      parameter -= lr * velocity;
    } else {
      parameter -= lr * g / denominator;
    }
  }
};

// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).
struct Adam {
  static constexpr int states = 2;
  float lr;  // the step size, lr / (1 - beta1^step)
  float l2;
  float decay;  // decoupled: parameters are multiplied by it first
  float take1;  // 1 - beta1
  float beta2;
  float take2;       // 1 - beta2
  float correction;  // sqrt(1 - beta2^step)
  float eps;

  CG_DEVICE void operator()(float gradient, float& parameter, float* state) const {
    const float p = parameter * decay;
    const float g = gradient + l2 * p;
    const float m = state[0] + take1 * (g - state[0]);
    const float v = state[1] * beta2 + take2 * g * g;
    state[0] = m;
    state[1] = v;
    parameter = p - lr * m / (math::sqrt(v) / correction + eps);
  }
};

struct OptimizerBuffers {
  const float* gradients;
  const float* factor;  // one element; may be null
  float* parameters;
  float* state[3];
};

template <int n, class Rule>
CG_DEVICE void update(const Rule& rule, const OptimizerBuffers& buffers, float factor,
                      std::int64_t at) {
  const Pack<float, n> gradients = load_pack<n>(buffers.gradients + at);
  Pack<float, n> parameters = load_pack<n>(buffers.parameters + at);
  Pack<float, n> states[Rule::states + 1];
  CG_UNROLL
  for (int s = 0; s < Rule::states; ++s) states[s] = load_pack<n>(buffers.state[s] + at);
  CG_UNROLL
  for (int j = 0; j < n; ++j) {
    float state[Rule::states + 1];
    CG_UNROLL
    for (int s = 0; s < Rule::states; ++s) state[s] = states[s][j];
    rule(gradients[j] * factor, parameters[j], state);
    CG_UNROLL
    for (int s = 0; s < Rule::states; ++s) states[s][j] = state[s];
  }
  store_pack(buffers.parameters + at, parameters);
  CG_UNROLL
  for (int s = 0; s < Rule::states; ++s) store_pack(buffers.state[s] + at, states[s]);
}

template <class Rule>
CG_KERNEL(block_threads)
void optimizer_kernel(Rule rule, OptimizerBuffers buffers, Split split) {
  constexpr int n = pack_size<float>;
  const float factor = buffers.factor != nullptr ? *buffers.factor : 1.0F;
  for (std::int64_t i = first_item(); i < split.packs; i += item_step()) {
    update<n>(rule, buffers, factor, split.head + i * n);
  }
  const std::int64_t in_packs = split.packs * n;
  for (std::int64_t i = first_item(); i < split.count - in_packs; i += item_step()) {
    update<1>(rule, buffers, factor, i < split.head ? i : i + in_packs);
  }
}

template <class Rule>
void step_with(const Device& device, const Rule& rule, const OptimizerBuffers& buffers,
               std::int64_t count) {
  // A state that the rule does not have lies like the gradients.
  std::array<const void*, 3> states{};
  for (std::size_t s = 0; s < 3; ++s) {
    states[s] = buffers.state[s] != nullptr ? buffers.state[s] : buffers.gradients;
  }
  const Split parts =
      split<float>(count, {buffers.gradients, buffers.parameters, states[0], states[1], states[2]});
  const std::int64_t items = std::max(parts.packs, count - parts.packs * pack_size<float>);
  launch<optimizer_kernel<Rule>>(device.blocks_for(items), block_threads, 0, device.stream, rule,
                                 buffers, parts);
}

void step_sgd(const Device& device, const OptimizerSpec& spec, std::int64_t step,
              const OptimizerBuffers& buffers, std::int64_t count) {
  const auto run = [&](auto rule) {
    rule.lr = static_cast<float>(spec.lr);
    rule.l2 = static_cast<float>(spec.weight_decay);
    rule.momentum = static_cast<float>(spec.momentum);
    rule.take = static_cast<float>(1.0 - spec.dampening);
    rule.first = step == 1;
    rule.nesterov = spec.nesterov;
    step_with(device, rule, buffers, count);
  };
  spec.momentum > 0.0 ? run(Sgd<true>{}) : run(Sgd<false>{});
}

void step_rmsprop(const Device& device, const OptimizerSpec& spec, const OptimizerBuffers& buffers,
                  std::int64_t count) {
  const auto run = [&](auto rule) {
    rule.lr = static_cast<float>(spec.lr);
    rule.l2 = static_cast<float>(spec.weight_decay);
    rule.alpha = static_cast<float>(spec.alpha);
    rule.take = static_cast<float>(1.0 - spec.alpha);
    rule.eps = static_cast<float>(spec.eps);
    rule.momentum = static_cast<float>(spec.momentum);
    step_with(device, rule, buffers, count);
  };
  if (spec.centered) {
    spec.momentum > 0.0 ? run(Rmsprop<true, true>{}) : run(Rmsprop<true, false>{});
  } else {
    spec.momentum > 0.0 ? run(Rmsprop<false, true>{}) : run(Rmsprop<false, false>{});
  }
}

void step_adam(const Device& device, const OptimizerSpec& spec, std::int64_t step,
               const OptimizerBuffers& buffers, std::int64_t count) {
  const bool decoupled = spec.kind == OptimizerKind::adamw;
  const auto steps = static_cast<double>(step);
  Adam rule{};
  rule.lr = static_cast<float>(spec.lr / (1.0 - std::pow(spec.beta1, steps)));
  rule.l2 = decoupled ? 0.0F : static_cast<float>(spec.weight_decay);
  rule.decay = decoupled ? static_cast<float>(1.0 - spec.lr * spec.weight_decay) : 1.0F;
  rule.take1 = static_cast<float>(1.0 - spec.beta1);
  rule.beta2 = static_cast<float>(spec.beta2);
  rule.take2 = static_cast<float>(1.0 - spec.beta2);
  rule.correction = static_cast<float>(std::sqrt(1.0 - std::pow(spec.beta2, steps)));
  rule.eps = static_cast<float>(spec.eps);
  step_with(device, rule, buffers, count);
}

}  // namespace
}  // namespace cuda

void CudaBackend::gradient_norm(ConstView gradients, double max_norm, View norm, View factor) {
  CG_CHECK(norm.numel() == 1 && factor.numel() == 1,
           "gradient_norm: norm and factor are one element each, got shapes " +
               norm.dims.to_string() + " and " + factor.dims.to_string());
  cuda::dispatch_storage("gradient_norm", {gradients, norm, factor}, [&](auto element) {
    using T = decltype(element);
    const std::int64_t count = gradients.numel();
    const std::int64_t chunks = (count + cuda::norm_chunk<T> - 1) / cuda::norm_chunk<T>;
    const Scratch<double> partial(blocks_, chunks);
    cuda::launch<cuda::square_sum_kernel<T>>(device_.blocks_for(chunks, 1), cuda::block_threads, 0,
                                             device_.stream, cuda::elements<T>(gradients), count,
                                             cuda::is_aligned(gradients.data, 16), partial.data());
    cuda::launch<cuda::gradient_norm_kernel<T>>(
        1, cuda::block_threads, 0, device_.stream, static_cast<const double*>(partial.data()),
        chunks, max_norm, cuda::elements<T>(norm), cuda::elements<T>(factor));
  });
}

void CudaBackend::optimizer_step(const OptimizerSpec& spec, std::int64_t step, ConstView gradients,
                                 ConstView factor, View parameters,
                                 const std::vector<View>& states) {
  cuda::require_dtype("optimizer_step", DType::f32, {gradients, factor, parameters});
  require_same_shape("optimizer_step", gradients.dims, parameters.dims);
  CG_CHECK(step >= 1, "optimizer_step: steps count from 1, got " + std::to_string(step));
  CG_CHECK(!factor.present() || factor.numel() == 1,
           "optimizer_step: factor is one element, got shape " + factor.dims.to_string());
  const std::size_t needed = spec.state_names().size();
  CG_CHECK(states.size() == needed, "optimizer_step: this optimizer keeps " +
                                        std::to_string(needed) + " states, got " +
                                        std::to_string(states.size()));
  cuda::OptimizerBuffers buffers{cuda::elements<float>(gradients),
                                 cuda::elements<float>(factor),
                                 cuda::elements<float>(parameters),
                                 {}};
  for (std::size_t s = 0; s < needed; ++s) {
    cuda::require_dtype("optimizer_step", DType::f32, {states[s]});
    require_same_shape("optimizer_step", states[s].dims, parameters.dims);
    buffers.state[s] = cuda::elements<float>(states[s]);
  }
  const std::int64_t count = parameters.numel();
  switch (spec.kind) {
    case OptimizerKind::sgd:
      return cuda::step_sgd(device_, spec, step, buffers, count);
    case OptimizerKind::rmsprop:
      return cuda::step_rmsprop(device_, spec, buffers, count);
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return cuda::step_adam(device_, spec, step, buffers, count);
  }
}

}  // namespace cardiograd
