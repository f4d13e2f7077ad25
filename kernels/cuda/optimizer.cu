// Gradient norm, and the steps of SGD, RMSprop, Adam and AdamW over the flat buffer of all
// parameters. Parameters and states are f32: these are the master weights. Gradients are f32 or
// bf16.
//
// Bytes an element: the norm reads 4 (bf16: 2); a step reads the gradient, and reads and writes the
// parameter and each state: 12 for plain SGD, 28 for Adam, with at most 20 FLOPs; 8 more where an
// average of the parameters is kept, 2 more where they are rounded for a model in bf16, 2 less for
// gradients in bf16. Bound: memory. Clipping factor, learning rate and step are read where they lie
// on the device, so that a captured step can be replayed; one thread of each block computes from
// them what the others need, and the grid is one wave, so that this is done once, not once every
// few thousand elements. The order of operations is PyTorch's: trajectories agree to rounding.
#include <cmath>

#include "kernels/cuda/cuda_backend_impl.h"
#include "kernels/cuda/edge_pack.h"
#include "kernels/cuda/grid.h"
#include "kernels/optimizer_checks.h"
#include "kernels/optimizer_scalars.h"

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
CG_KERNEL(block_threads)
void gradient_norm_kernel(const double* __restrict__ partial, std::int64_t count, double max_norm,
                          float* __restrict__ norm, float* __restrict__ factor) {
  double total = 0.0;
  for (std::int64_t i = threadIdx.x; i < count; i += block_threads) total += partial[i];
  total = block_sum<block_threads>(total);
  if (threadIdx.x != 0) return;
  const double length = std::sqrt(total);
  const double ratio = max_norm > 0.0 ? max_norm / (length + 1e-6) : 1.0;
  *norm = static_cast<float>(length);
  *factor = ratio > 1.0 ? 1.0F : static_cast<float>(ratio);
}

// No infinity and no NaN.
CG_DEVICE bool is_finite(float value) { return value - value == 0.0F; }

// ---- Steps --------------------------------------------------------------------------------------
// A rule says how many states it has, and what one element's gradient (clipped already) does to its
// parameter and states. l2 and shrink are the element's own: weight decay is not for all of them.

// SGD with momentum (Sutskever et al. 2013, in PyTorch's form).
template <bool with_momentum>
struct Sgd {
  static constexpr int states = with_momentum ? 1 : 0;
  bool nesterov;

  CG_DEVICE void operator()(const OptimizerScalars& s, float l2, float, float gradient,
                            float& parameter, float* state) const {
    const float g = gradient + l2 * parameter;
    float update = g;
    if constexpr (with_momentum) {
      // The first step copies the gradient, without dampening.
      const float v = s.first ? g : state[0] * s.momentum + s.velocity_take * g;
      state[0] = v;
      update = nesterov ? g + s.momentum * v : v;
    }
    parameter -= s.lr * update;
  }
};

// RMSprop (Tieleman & Hinton 2012; centered: Graves 2013).
template <bool centered, bool with_momentum>
struct Rmsprop {
  static constexpr int states = 1 + (centered ? 1 : 0) + (with_momentum ? 1 : 0);

  CG_DEVICE void operator()(const OptimizerScalars& s, float l2, float, float gradient,
                            float& parameter, float* state) const {
    const float g = gradient + l2 * parameter;
    const float square = state[0] * s.square_keep + s.square_take * g * g;
    state[0] = square;
    float variance = square;
    if constexpr (centered) {
      const float mean = state[1] + s.mean_take * (g - state[1]);
      state[1] = mean;
      variance = square - mean * mean;
    }
    const float denominator = math::sqrt(variance) + s.eps;
    if constexpr (with_momentum) {
      float& velocity = state[states - 1];
      velocity = velocity * s.momentum + g / denominator;
      parameter -= s.lr * velocity;
    } else {
      parameter -= s.lr * g / denominator;
    }
  }
};

// Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).
struct Adam {
  static constexpr int states = 2;

  CG_DEVICE void operator()(const OptimizerScalars& s, float l2, float shrink, float gradient,
                            float& parameter, float* state) const {
    const float p = parameter * shrink;
    const float g = gradient + l2 * p;
    const float m = state[0] + s.mean_take * (g - state[0]);
    const float v = state[1] * s.square_keep + s.square_take * g * g;
    state[0] = m;
    state[1] = v;
    parameter = p - s.lr * m / (math::sqrt(v) / s.correction + s.eps);
  }
};

template <class T>
struct OptimizerBuffers {
  const T* gradients;
  const float* factor;     // one element; may be null
  const double* schedule;  // four
  const float* guard;      // one element; may be null
  float* parameters;
  float* state[3];
  float* average;     // may be null
  BFloat16* rounded;  // may be null
};

// n elements: at most 16 bytes of gradients, in accesses of at most 16 bytes.
template <int n, class Rule, class T>
CG_DEVICE void update(const Rule& rule, const OptimizerScalars& s,
                      const OptimizerBuffers<T>& buffers, std::int64_t decayed, std::int64_t at) {
  constexpr int wide = n < 4 ? n : 4;  // of f32 in one access
  const Pack<T, n> gradients = load_pack<n>(buffers.gradients + at);
  Pack<BFloat16, n> rounded;
  CG_UNROLL
  for (int part = 0; part < n; part += wide) {
    const std::int64_t first = at + part;
    Pack<float, wide> parameters = load_pack<wide>(buffers.parameters + first);
    Pack<float, wide> states[Rule::states + 1];
    CG_UNROLL
    for (int i = 0; i < Rule::states; ++i) states[i] = load_pack<wide>(buffers.state[i] + first);
    Pack<float, wide> average = parameters;
    if (buffers.average != nullptr) average = load_pack<wide>(buffers.average + first);
    CG_UNROLL
    for (int j = 0; j < wide; ++j) {
      float state[Rule::states + 1];
      CG_UNROLL
      for (int i = 0; i < Rule::states; ++i) state[i] = states[i][j];
      const bool decays = first + j < decayed;
      rule(s, decays ? s.l2 : 0.0F, decays ? s.shrink : 1.0F,
           to_float(gradients[part + j]) * s.factor, parameters[j], state);
      CG_UNROLL
      for (int i = 0; i < Rule::states; ++i) states[i][j] = state[i];
      average[j] = s.average_keep * average[j] + s.average_take * parameters[j];
      rounded[part + j] = from_float<BFloat16>(parameters[j]);
    }
    store_pack(buffers.parameters + first, parameters);
    CG_UNROLL
    for (int i = 0; i < Rule::states; ++i) store_pack(buffers.state[i] + first, states[i]);
    if (buffers.average != nullptr) store_pack(buffers.average + first, average);
  }
  if (buffers.rounded != nullptr) store_pack(buffers.rounded + at, rounded);
}

// Blocks of one wave: enough loads under way to fill the memory's pipes, registers for all of them.
constexpr unsigned step_blocks = 4;

template <class Rule, class T>
CG_KERNEL(block_threads, step_blocks)
void optimizer_kernel(Rule rule, OptimizerSpec spec, OptimizerBuffers<T> buffers, Split split) {
  constexpr int n = pack_size<T>;
  if (buffers.guard != nullptr && !is_finite(*buffers.guard)) return;
  CG_SHARED(OptimizerScalars, shared);
  if (threadIdx.x == 0) {
    shared = optimizer_scalars(spec, buffers.schedule,
                               buffers.factor != nullptr ? *buffers.factor : 1.0F);
  }
  sync_block();
  const OptimizerScalars scalars = shared;
  for (std::int64_t i = first_item(); i < split.packs; i += item_step()) {
    update<n>(rule, scalars, buffers, spec.decayed, split.head + i * n);
  }
  const std::int64_t in_packs = split.packs * n;
  for (std::int64_t i = first_item(); i < split.count - in_packs; i += item_step()) {
    update<1>(rule, scalars, buffers, spec.decayed, i < split.head ? i : i + in_packs);
  }
}

// As split of device.h, for operands of several element sizes: items of n elements, where every
// operand that is there lies alike with respect to n of its elements.
template <int n>
Split split_elements(const OptimizerOperands& x) {
  const std::int64_t count = x.parameters.numel();
  const auto place = [](const ConstView& view) {
    return std::bit_cast<std::uintptr_t>(view.data) / size_of(view.dtype) % n;
  };
  const std::uintptr_t lies = place(x.parameters);
  const auto alike = [&](const ConstView& view) { return !view.present() || place(view) == lies; };
  bool all = alike(x.gradients) && alike(x.average) && alike(x.rounded);
  for (const View& state : x.states) all = all && alike(state);
  if (!all) return {count, 0, count};
  const std::int64_t head = std::min(count, static_cast<std::int64_t>((n - lies) % n));
  return {head, (count - head) / n, count};
}

template <class Rule, class T>
void step_with(const Device& device, const Rule& rule, const OptimizerSpec& spec,
               const OptimizerOperands& x, T) {
  OptimizerBuffers<T> buffers{elements<T>(x.gradients),      elements<float>(x.factor),
                              elements<double>(x.schedule),  elements<float>(x.guard),
                              elements<float>(x.parameters), {},
                              elements<float>(x.average),    elements<BFloat16>(x.rounded)};
  for (std::size_t i = 0; i < x.states.size(); ++i) buffers.state[i] = elements<float>(x.states[i]);
  constexpr int n = pack_size<T>;
  const Split parts = split_elements<n>(x);
  const std::int64_t items = std::max(parts.packs, parts.count - parts.packs * n);
  const unsigned one_wave = step_blocks * static_cast<unsigned>(device.multiprocessors);
  launch<optimizer_kernel<Rule, T>>(std::min(device.blocks_for(items), one_wave), block_threads, 0,
                                    device.stream, rule, spec, buffers, parts);
}

// Calls run with the rule that spec describes.
template <class Run>
void with_rule(const OptimizerSpec& spec, const Run& run) {
  const bool with_momentum = spec.momentum > 0.0;
  switch (spec.kind) {
    case OptimizerKind::sgd:
      return with_momentum ? run(Sgd<true>{spec.nesterov}) : run(Sgd<false>{spec.nesterov});
    case OptimizerKind::rmsprop:
      if (spec.centered) {
        return with_momentum ? run(Rmsprop<true, true>{}) : run(Rmsprop<true, false>{});
      }
      return with_momentum ? run(Rmsprop<false, true>{}) : run(Rmsprop<false, false>{});
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return run(Adam{});
  }
}

}  // namespace
}  // namespace cuda

void CudaBackend::gradient_norm(ConstView gradients, double max_norm, View norm, View factor) {
  cuda::require_dtype("gradient_norm", DType::f32, {norm, factor});
  check_gradient_norm(norm, factor);
  cuda::dispatch_storage("gradient_norm", {gradients}, [&](auto element) {
    using T = decltype(element);
    const std::int64_t count = gradients.numel();
    const std::int64_t chunks = (count + cuda::norm_chunk<T> - 1) / cuda::norm_chunk<T>;
    const Scratch<double> partial(blocks_, chunks);
    cuda::launch<cuda::square_sum_kernel<T>>(device_.blocks_for(chunks, 1), cuda::block_threads, 0,
                                             device_.stream, cuda::elements<T>(gradients), count,
                                             cuda::is_aligned(gradients.data, 16), partial.data());
    cuda::launch<cuda::gradient_norm_kernel>(
        1, cuda::block_threads, 0, device_.stream, static_cast<const double*>(partial.data()),
        chunks, max_norm, cuda::elements<float>(norm), cuda::elements<float>(factor));
  });
}

void CudaBackend::optimizer_step(const OptimizerSpec& spec, const OptimizerOperands& x) {
  cuda::require_dtype("optimizer_step", DType::f32, {x.factor, x.guard, x.parameters, x.average});
  for (const View& state : x.states) cuda::require_dtype("optimizer_step", DType::f32, {state});
  check_optimizer_step(spec, x);
  cuda::dispatch_storage("optimizer_step", {x.gradients}, [&](auto element) {
    cuda::with_rule(spec,
                    [&](const auto& rule) { cuda::step_with(device_, rule, spec, x, element); });
  });
}

}  // namespace cardiograd
