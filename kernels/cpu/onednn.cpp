#include "kernels/cpu/onednn.h"

#include <array>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <unordered_map>

#include "kernels/error.h"

namespace cardiograd {

namespace {

using dnnl::memory;

enum class Direction : std::int64_t { forward, backward_data, backward_weight };

using Key = std::array<std::int64_t, 11>;

Key key_of(Direction direction, bool with_bias, const Conv1dShape& shape) {
  return {static_cast<std::int64_t>(direction),
          with_bias,
          shape.records,
          shape.length,
          shape.inputs,
          shape.kernel,
          shape.outputs,
          shape.spec.stride,
          shape.spec.padding,
          shape.spec.dilation,
          shape.spec.groups};
}

// Descriptors of one convolution's operands. `weights` leaves the order to oneDNN; user_weights is
// ours, [kernel, inputs / groups, outputs].
struct Operands {
  memory::desc x;
  memory::desc y;
  memory::desc weights;
  memory::desc user_weights;
  memory::desc bias;  // empty: none
  memory::dims strides;
  memory::dims dilation;
  memory::dims padding;

  Operands(const Conv1dShape& shape, bool with_bias)
      : x({shape.records, shape.inputs, shape.length}, memory::data_type::f32,
          memory::format_tag::nwc),
        y({shape.records, shape.outputs, shape.output_length}, memory::data_type::f32,
          memory::format_tag::nwc),
        strides{shape.spec.stride},
        dilation{shape.spec.dilation - 1},  // oneDNN counts the skipped steps
        padding{shape.spec.padding} {
    const std::int64_t groups = shape.spec.groups;
    const std::int64_t inputs = shape.inputs / groups;
    memory::dims dims{shape.outputs / groups, inputs, shape.kernel};
    memory::dims steps{1, shape.outputs, shape.outputs * inputs};
    if (groups > 1) {
      dims.insert(dims.begin(), groups);
      steps.insert(steps.begin(), shape.outputs / groups);
    }
    weights = memory::desc(dims, memory::data_type::f32, memory::format_tag::any);
    user_weights = memory::desc(dims, memory::data_type::f32, steps);
    if (with_bias) {
      bias = memory::desc({shape.outputs}, memory::data_type::f32, memory::format_tag::x);
    }
  }
};

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

#if DNNL_VERSION_MAJOR >= 3

template <class Convolution, class... Arguments>
typename Convolution::primitive_desc describe(const dnnl::engine& engine,
                                              const Arguments&... arguments) {
  return typename Convolution::primitive_desc(engine, arguments..., attributes());
}
// A backward primitive takes the forward one as a hint.
template <class Convolution, class... Arguments>
typename Convolution::primitive_desc describe_backward(
    const dnnl::engine& engine, const dnnl::convolution_forward::primitive_desc& hint,
    const Arguments&... arguments) {
  return typename Convolution::primitive_desc(engine, arguments..., hint, attributes());
}

#else

template <class Convolution, class... Arguments>
typename Convolution::primitive_desc describe(const dnnl::engine& engine,
                                              const Arguments&... arguments) {
  return typename Convolution::primitive_desc(typename Convolution::desc(arguments...),
                                              attributes(), engine);
}
template <class Convolution, class... Arguments>
typename Convolution::primitive_desc describe_backward(
    const dnnl::engine& engine, const dnnl::convolution_forward::primitive_desc& hint,
    const Arguments&... arguments) {
  return typename Convolution::primitive_desc(typename Convolution::desc(arguments...),
                                              attributes(), engine, hint);
}

#endif

// A primitive with the descriptors that it chose, and the way between its weights and ours.
struct Convolution {
  dnnl::primitive primitive;
  dnnl::primitive reorder;  // empty where the orders agree
  memory::desc x;
  memory::desc y;
  memory::desc bias;
  memory::desc weights;
  memory::desc user_weights;
  memory::desc scratchpad;
};

}  // namespace

class PrimitiveCache::Implementation {
 public:
  explicit Implementation(BlockCache& blocks)
      : blocks_(blocks), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}

  void run(Direction direction, const Conv1dShape& shape, const float* x, const float* weight,
           const float* bias, const float* y) {
    const std::lock_guard lock(mutex_);
    try {
      execute(find(direction, shape, bias != nullptr), direction, x, weight, bias, y);
    } catch (const dnnl::error& error) {
      throw DeviceError(std::string("oneDNN cannot run this conv1d (") + error.what() +
                        "): use another batch size, or report its shape");
    }
  }

 private:
  const Convolution& find(Direction direction, const Conv1dShape& shape, bool with_bias) {
    const Key key = key_of(direction, with_bias, shape);
    const auto found = convolutions_.find(key);
    if (found != convolutions_.end()) return found->second;
    return convolutions_.emplace(key, make(direction, shape, with_bias)).first->second;
  }

  Convolution make(Direction direction, const Conv1dShape& shape, bool with_bias) const {
    const Operands o(shape, with_bias);
    const auto direct = dnnl::algorithm::convolution_direct;
    const auto forward = describe<dnnl::convolution_forward>(
        engine_, dnnl::prop_kind::forward_training, direct, o.x, o.weights, o.bias, o.y, o.strides,
        o.dilation, o.padding, o.padding);
    Convolution made{{}, {}, o.x, o.y, o.bias, {}, o.user_weights, {}};
    if (direction == Direction::forward) {
      made.primitive = dnnl::convolution_forward(forward);
      made.weights = forward.weights_desc();
      made.scratchpad = forward.scratchpad_desc();
    } else if (direction == Direction::backward_data) {
      const auto backward = describe_backward<dnnl::convolution_backward_data>(
          engine_, forward, direct, o.x, o.weights, o.y, o.strides, o.dilation, o.padding,
          o.padding);
      made.primitive = dnnl::convolution_backward_data(backward);
      made.weights = backward.weights_desc();
      made.scratchpad = backward.scratchpad_desc();
    } else {
      const auto backward = describe_backward<dnnl::convolution_backward_weights>(
          engine_, forward, direct, o.x, o.weights, o.bias, o.y, o.strides, o.dilation, o.padding,
          o.padding);
      made.primitive = dnnl::convolution_backward_weights(backward);
      made.weights = backward.diff_weights_desc();
      made.scratchpad = backward.scratchpad_desc();
    }
    if (made.weights != made.user_weights) {
      const bool inwards = direction != Direction::backward_weight;
      made.reorder = dnnl::reorder(
          dnnl::reorder::primitive_desc(engine_, inwards ? made.user_weights : made.weights,
                                        engine_, inwards ? made.weights : made.user_weights));
    }
    return made;
  }

  memory wrap(const memory::desc& desc, const void* data) const {
    return {desc, engine_, const_cast<void*>(data)};  // oneDNN's handles are never const
  }

  void execute(const Convolution& made, Direction direction, const float* x, const float* weight,
               const float* bias, const float* y) {
    const bool reorders = static_cast<bool>(made.reorder);
    const Scratch<std::byte> scratchpad(blocks_, made.scratchpad.get_size());
    const Scratch<std::byte> reordered(blocks_, reorders ? made.weights.get_size() : 0);
    const memory user_weights = wrap(made.user_weights, weight);
    const memory weights = reorders ? wrap(made.weights, reordered.data()) : user_weights;
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SCRATCHPAD, wrap(made.scratchpad, scratchpad.data())}};
    const bool is_forward = direction == Direction::forward;
    const bool is_weight = direction == Direction::backward_weight;
    arguments.emplace(direction == Direction::backward_data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC,
                      wrap(made.x, x));
    arguments.emplace(is_forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, wrap(made.y, y));
    arguments.emplace(is_weight ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, weights);
    if (bias != nullptr) {
      arguments.emplace(is_weight ? DNNL_ARG_DIFF_BIAS : DNNL_ARG_BIAS, wrap(made.bias, bias));
    }
    if (reorders && !is_weight) reorder(made, user_weights, weights);
    made.primitive.execute(stream_, arguments);
    if (reorders && is_weight) reorder(made, weights, user_weights);
    stream_.wait();
  }

  void reorder(const Convolution& made, const memory& from, const memory& to) {
    made.reorder.execute(stream_, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  }

  BlockCache& blocks_;
  std::mutex mutex_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  std::map<Key, Convolution> convolutions_;
};

PrimitiveCache::PrimitiveCache(BlockCache& blocks)
    : implementation_(std::make_unique<Implementation>(blocks)) {}

PrimitiveCache::~PrimitiveCache() = default;

void PrimitiveCache::conv1d_forward(const Conv1dShape& shape, const float* x, const float* weight,
                                    const float* bias, float* y) {
  implementation_->run(Direction::forward, shape, x, weight, bias, y);
}

void PrimitiveCache::conv1d_backward_data(const Conv1dShape& shape, const float* dy,
                                          const float* weight, float* dx) {
  implementation_->run(Direction::backward_data, shape, dx, weight, nullptr, dy);
}

void PrimitiveCache::conv1d_backward_weight(const Conv1dShape& shape, const float* x,
                                            const float* dy, float* dweight, float* dbias) {
  implementation_->run(Direction::backward_weight, shape, x, dweight, dbias, dy);
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
         std::to_string(version->patch);
}

void matrix_multiply(Order a_order, Order b_order, std::int64_t rows, std::int64_t columns,
                     std::int64_t depth, const float* a, const float* b, float beta, float* c) {
  const std::int64_t a_stride = a_order == Order::plain ? depth : rows;
  const std::int64_t b_stride = b_order == Order::plain ? columns : depth;
  const dnnl_status_t status =
      dnnl_sgemm(static_cast<char>(a_order), static_cast<char>(b_order), rows, columns, depth, 1.0F,
                 a, a_stride, b, b_stride, beta, c, columns);
  if (status == dnnl_success) return;
  throw DeviceError("oneDNN cannot multiply [" + std::to_string(rows) + ", " +
                    std::to_string(depth) + "] by [" + std::to_string(depth) + ", " +
                    std::to_string(columns) + "] (status " + std::to_string(status) +
                    "): most likely memory is short, so use a smaller batch");
}

}  // namespace cardiograd
