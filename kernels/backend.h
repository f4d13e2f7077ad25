// The one seam between devices. Each method is one operation on plain views; everything above it
// (tensor, autograd, layers, models, trainer) does not know which device it runs on.
//
// Conventions, for every method:
//  - Layout: sequences are [N, L, C] (batch, time, channels), channels contiguous. A "channel last"
//    operand [..., C] is treated as rows x C.
//  - Inputs are ConstView, outputs View; outputs are written whole, whatever they held before,
//  unless
//    the name says `accumulate`. Inputs and outputs do not overlap, except where a comment allows
//    it.
//  - Floating operands of one call share one dtype: f32 on CpuBackend, f64 on ReferenceBackend.
//    Statistics (means, variances, inverse deviations, attention's lse) have statistics_dtype of
//    it: f32 where operands are bf16, else the same.
//  - An absent optional operand is a default-constructed view.
//  - A batch, a length or a channel count of zero is legal and does nothing (means over nothing are
//  0).
//  - Shapes that do not fit throw ShapeError; memory that cannot be had throws DeviceError.
//  - `weight gradient` methods overwrite; summing over several uses is autograd's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/augment.h"
#include "kernels/philox.h"
#include "kernels/recording.h"
#include "kernels/view.h"

namespace cardiograd {

class OperationClock;

// ---- Operation descriptions ---------------------------------------------------------------------

// 1-D cross-correlation, as PyTorch's nn.Conv1d; zero padding on both sides.
struct Conv1dSpec {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  // floor((L + 2 padding - dilation (k - 1) - 1) / stride) + 1, or 0 when the kernel does not fit.
  std::int64_t output_length(std::int64_t length, std::int64_t kernel) const;
};

// Max or average pooling over time, as PyTorch's nn.MaxPool1d / nn.AvgPool1d (floor mode; max pads
// with -inf; average counts the padding zeros in its divisor, PyTorch's default).
struct Pool1dSpec {
  std::int64_t kernel = 2;
  std::int64_t stride = 2;
  std::int64_t padding = 0;  // at most kernel / 2
  std::int64_t output_length(std::int64_t length) const;
};

// One direction of an LSTM layer.
struct LstmSpec {
  bool reverse = false;    // from the last time step to the first
  bool last_step = false;  // the output is the state after the direction's last step, PyTorch's h_n
};

enum class ActivationKind : std::uint8_t {
  relu,
  leaky_relu,  // slope: negative side
  sigmoid,
  tanh,
  gelu,       // x Phi(x), the exact form (Hendrycks & Gimpel 2016)
  gelu_tanh,  // its tanh approximation
};
struct Activation {
  ActivationKind kind = ActivationKind::relu;
  double slope = 0.01;  // leaky_relu only
};

// Inverted dropout: an element is kept with probability 1 - p and scaled by 1 / (1 - p).
struct DropoutSpec {
  double p = 0.5;        // in [0, 1]; p = 1 gives zeros
  bool channel = false;  // one draw for a whole channel of a record (nn.Dropout1d)
  RandomKey key;
};

// Scaled dot-product attention over heads (Vaswani et al. 2017, equation 1):
// softmax(q k^T / sqrt(D / heads)) v, for each head's D / heads columns apart.
struct AttentionSpec {
  std::int64_t heads = 1;  // divides D
  bool causal = false;     // query i sees the keys 0 .. i alone
  double dropout = 0.0;    // of the probabilities, as DropoutSpec::p
  RandomKey key;           // of its draws
};
// What attention may be given besides; each is optional.
struct AttentionMasks {
  ConstView padding;   // u8 [N, Lk]: 1 where nobody is to see the key
  ConstView additive;  // floating [Lq, Lk]: added to the scaled scores; -inf hides
  ConstView records;   // i32 [N]: whose draws, as for dropout
};

// Uniform levels: level = floor((x - low) / (high - low) * levels), kept within 0 .. levels - 1.
struct QuantizeSpec {
  double low = -1.0;
  double high = 1.0;
  std::int64_t levels = 256;
  // Added c times in channel c: with `levels`, each channel gets its own rows of an embedding.
  std::int64_t channel_stride = 0;
};

// BatchNorm, and the ReLU behind it.
struct BatchNormSpec {
  double eps = 1e-5;
  double momentum = 0.1;  // of the running statistics, in training
  bool relu = false;
};

enum class Reduction : std::uint8_t { none, mean, sum };

// Binary cross-entropy of each class, and the losses that weigh its terms by how sure the model is.
// With p = sigmoid(logit), a target t counts as t (1 - smoothing) + smoothing / 2 (Szegedy et al.
// 2016, of two outcomes); its loss is
//   -positive t (1 - p)^gamma_positive log(p)
//   - negative (1 - t) q^gamma_negative log(1 - q), q = max(p - margin, 0).
// Focal loss (Lin et al. 2017, equation 5): both gammas equal, positive = alpha, negative = 1 -
// alpha. Asymmetric loss (Ridnik et al. 2021, equation 7): a smaller gamma for positives, a margin.
struct BceSpec {
  Reduction reduction = Reduction::mean;
  double smoothing = 0.0;       // in [0, 1)
  double gamma_positive = 0.0;  // at least 0
  double gamma_negative = 0.0;
  double margin = 0.0;  // in [0, 1)
  double positive = 1.0;
  double negative = 1.0;

  // Whether this is more than (smoothed) cross-entropy.
  bool focuses() const {
    return gamma_positive != 0.0 || gamma_negative != 0.0 || margin != 0.0 || positive != 1.0 ||
           negative != 1.0;
  }
};

enum class OptimizerKind : std::uint8_t { sgd, rmsprop, adam, adamw };
// One step of an optimizer, with PyTorch's meaning of every field.
struct OptimizerSpec {
  OptimizerKind kind = OptimizerKind::sgd;
  double weight_decay = 0.0;  // L2 on the gradient; decoupled for adamw
  // Elements [0, decayed) of the parameters get weight decay, the others none.
  std::int64_t decayed = std::numeric_limits<std::int64_t>::max();
  double momentum = 0.0;   // sgd, rmsprop: above 0, a buffer is kept for it
  double dampening = 0.0;  // sgd
  bool nesterov = false;   // sgd
  double alpha = 0.99;     // rmsprop
  bool centered = false;   // rmsprop
  double beta1 = 0.9;      // adam, adamw
  double beta2 = 0.999;
  double eps = 1e-8;
  // How many state buffers of the parameters' size a step needs, and their names, in order:
  // momentum_buffer | square_avg, grad_avg, momentum_buffer | exp_avg, exp_avg_sq.
  std::vector<std::string> state_names() const;
};
// Flat buffers of one size, apart from factor and schedule. What is f32 here is f64 on the
// reference.
struct OptimizerOperands {
  ConstView gradients;  // f32 or bf16
  ConstView factor;     // f32 [1], optional: what the gradients are multiplied by first
  // f64 [4]: learning rate, number of the step from 1, decay of the average; and momentum, or beta1
  // of adam and adamw, which counts instead of the spec's.
  ConstView schedule;
  ConstView guard;           // f32 [1], optional: where it is not finite (a loss), nothing changes
  View parameters;           // f32, updated in place
  std::vector<View> states;  // f32, updated in place; as many as the optimizer has names for
  // f32, optional: average = decay average + (1 - decay) parameters, of the new parameters.
  View average;
  View rounded;  // bf16, optional: receives the new parameters, for a model in bf16
};

// Wavelet denoising (kernels/wavelet.h). The threshold is `factor` times the median magnitude of
// the finest details, of this record and lead, and acts on all coefficients, the approximation
// included, as the seed's did; 0.1 is the seed's factor, sqrt(2 ln length) / 0.6745 would be Donoho
// and Johnstone's universal one.
struct WaveletDenoiseSpec {
  int vanishing_moments = 4;  // db1 .. db8
  int levels = 3;
  bool soft = false;  // soft: what stays is pulled towards 0 by the threshold; hard: it stays as is
  double factor = 0.1;

  bool operator==(const WaveletDenoiseSpec&) const = default;
  // "db4,levels=3,mode=hard,factor=0.1": data/denoise.h reads it back.
  std::string to_string() const;
};

// Sample to value: value = sample * scale[lead] + shift[lead]; a missing sample (-32768) becomes
// `missing`. Augmentation is off by default.
struct GatherSpec {
  double missing = 0.0;
  AugmentSpec augment;
};
struct GatherOperands {
  ConstView records;   // i16 [R, L, C]
  ConstView rows;      // i32 [N]: which records
  ConstView scale;     // f32 [C]
  ConstView shift;     // f32 [C]
  ConstView gain;      // f32 [C]: samples' units per mV; wander and hum alone need it
  ConstView keys;      // i32 [N], optional: what keys a record's draws; its row where absent
  ConstView partners;  // i32 [N], optional: for mixup, the rows of the other records,
  ConstView shares;    // f32 [N]: with the shares of the first ones
};

// ---- The interface
// --------------------------------------------------------------------------------

class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  // "cpu", "cuda:0", "reference".
  virtual std::string name() const = 0;
  // The dtype that floating operations compute in when nothing else is asked for.
  virtual DType default_dtype() const = 0;

  // -- Memory. allocate returns 64-byte aligned memory of unspecified content; 0 bytes is legal.
  //    Implementations cache blocks, so that a training step allocates nothing after warm-up.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void deallocate(void* data, std::size_t bytes) noexcept = 0;
  virtual void copy_from_host(void* device, const void* host, std::size_t bytes) = 0;
  virtual void copy_to_host(void* host, const void* device, std::size_t bytes) = 0;
  virtual void synchronize() = 0;

  // -- For who prepares data while the device computes. What is said here holds for a device whose
  //    memory is the host's; others override it.
  // Whether operations may read the host's memory, a mapped file for one, where it lies.
  virtual bool reads_host_memory() const { return true; }
  // Bytes that allocate could still find; 0 where that does not matter.
  virtual std::size_t free_memory() const { return 0; }
  // Another queue of the same device, with memory of its own, whose operations run beside this
  // one's; null where there is none. It lives on its own: the caller's pointer keeps it. Its work
  // is ordered before this queue's by synchronize() on it. What it allocated may be used by this
  // queue and given back at any time: it is handed out again only after this queue's operations of
  // before that.
  virtual std::shared_ptr<Backend> second_queue() { return nullptr; }
  // From now on, notes what this thread asks for and gives back (null: no longer).
  virtual void trace_memory(MemoryTrace* trace);
  // For work that is asked for again and again (kernels/recording.h); null where replaying it would
  // gain nothing.
  virtual std::unique_ptr<Recorder> make_recorder() { return nullptr; }
  // y[i] = x[rows[i]] along the first axis, where x lies in the host's memory, which may change
  // when the call returns; the copy may still be ahead in the queue. rows are not checked.
  virtual void upload_rows(ConstView x, std::span<const std::int32_t> rows, View y);

  // -- For profiles: times operations of this queue (kernels/operation_clock.h).
  virtual std::unique_ptr<OperationClock> operation_clock();

  // -- Elementwise and data movement. Any dtype unless said otherwise.
  virtual void fill(View y, double value) = 0;
  virtual void copy(ConstView x, View y) = 0;  // same dtype and element count; shapes may differ
  virtual void cast(ConstView x,
                    View y) = 0;  // any dtype to any; to integers rounds to nearest even
  // y += x, floating, same shape.
  virtual void accumulate(ConstView x, View y) = 0;
  // y = alpha x, floating. x and y may be the same memory.
  virtual void scale(ConstView x, double alpha, View y) = 0;
  // NumPy broadcasting of a and b to y's shape, floating. y may be a or b where the shapes agree.
  virtual void add(ConstView a, ConstView b, View y) = 0;
  virtual void multiply(ConstView a, ConstView b, View y) = 0;
  // part = x[..., start : start + part.dims[axis], ...] along axis.
  virtual void slice(ConstView x, int axis, std::int64_t start, View part) = 0;
  // y[..., start : start + part.dims[axis], ...] = part; the rest of y is left alone.
  virtual void place(ConstView part, int axis, std::int64_t start, View y) = 0;
  // y = x with its axes permuted: y.dims[i] = x.dims[axes[i]].
  virtual void permute(ConstView x, const std::vector<int>& axes, View y) = 0;

  // -- Reductions. y has x's rank with size 1 on every reduced axis (keepdim).
  virtual void sum(ConstView x, double alpha, View y) = 0;  // y = alpha * sum of x
  virtual void expand(ConstView x, double alpha,
                      View y) = 0;  // y = alpha * x, broadcast: sum's dual
  // Maximum over one axis, the first among equals; index (i32, y's shape) is the position on it.
  virtual void max_forward(ConstView x, View y, View index) = 0;
  virtual void max_backward(ConstView dy, ConstView index, View dx) = 0;

  // -- Activations, softmax over the last axis, dropout.
  virtual void activation_forward(const Activation& activation, ConstView x, View y) = 0;
  // dx may be dy's memory.
  virtual void activation_backward(const Activation& activation, ConstView x, ConstView y,
                                   ConstView dy, View dx) = 0;
  virtual void softmax_forward(ConstView x, View y) = 0;
  virtual void softmax_backward(ConstView y, ConstView dy, View dx) = 0;
  // The mask is a function of the key, the record (records[n], i32; the row number when absent) and
  // the element inside the record, so that backward is the same call on dy. x is [N, ...], or
  // [N, L, C] for channel dropout.
  virtual void dropout(const DropoutSpec& spec, ConstView records, ConstView x, View y) = 0;

  // -- Linear: x [..., I], weight [O, I] (PyTorch's), bias [O] optional, y [..., O].
  virtual void linear_forward(ConstView x, ConstView weight, ConstView bias, View y) = 0;
  virtual void linear_backward_data(ConstView dy, ConstView weight, View dx) = 0;
  virtual void linear_backward_weight(ConstView x, ConstView dy, View dweight, View dbias) = 0;

  // -- 1-D convolution: x [N, L, Ci], weight [k, Ci / groups, Co], bias [Co] optional, y [N, Lo,
  // Co].
  virtual void conv1d_forward(const Conv1dSpec& spec, ConstView x, ConstView weight, ConstView bias,
                              View y) = 0;
  virtual void conv1d_backward_data(const Conv1dSpec& spec, ConstView dy, ConstView weight,
                                    View dx) = 0;
  virtual void conv1d_backward_weight(const Conv1dSpec& spec, ConstView x, ConstView dy,
                                      View dweight, View dbias) = 0;
  // Convolution, bias, ReLU and max-pool (stride = kernel, no padding) in one pass that never
  // stores the full-length activation. winner (u8, y's shape): which of the window's elements is
  // the maximum, or conv_relu_pool_dead where ReLU gave 0.
  virtual void conv1d_relu_maxpool_forward(const Conv1dSpec& spec, std::int64_t pool, ConstView x,
                                           ConstView weight, ConstView bias, View y,
                                           View winner) = 0;
  // dx is optional: the first layer of a model needs none.
  virtual void conv1d_relu_maxpool_backward(const Conv1dSpec& spec, std::int64_t pool, ConstView x,
                                            ConstView weight, ConstView winner, ConstView dy,
                                            View dx, View dweight, View dbias) = 0;
  static constexpr std::uint8_t conv_relu_pool_dead = 255;

  // -- LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), one direction of one
  // layer, PyTorch's order of the gates i, f, g, o. The initial state is zero:
  //   i, f, o = sigmoid(W_ih x + b_ih + W_hh h' + b_hh), g = tanh(the same), each its own quarter;
  //   c = f c' + i g, h = o tanh(c), where h' and c' are those of the step before.
  // x [N, L, I], weight_ih [4H, I], weight_hh [4H, H], bias_ih and bias_hh [4H]; y: h of every step
  // [N, L, H], or of the last one [N, H]. saved (optional): what backward needs, in an order of the
  // backend's own, as many elements of x's dtype as lstm_saved_size says, in a block of `allocate`.
  virtual void lstm_forward(const LstmSpec& spec, ConstView x, ConstView weight_ih,
                            ConstView weight_hh, ConstView bias_ih, ConstView bias_hh, View y,
                            View saved) = 0;
  // How the backend computes both directions of this shape may be decided at the first call; the
  // size then says which way it is. Of x, dtype and dims count. lstm_parts_size (lstm_saved.h) is
  // taken everywhere: the order of lstm_saved.h.
  virtual std::int64_t lstm_saved_size(const LstmSpec& spec, ConstView x, std::int64_t units) = 0;
  // dx is optional. Both biases have the same gradient. saved is used up: its content is undefined
  // afterwards, unless it is in the order of lstm_saved.h, which stays.
  virtual void lstm_backward(const LstmSpec& spec, ConstView x, ConstView weight_ih,
                             ConstView weight_hh, View saved, ConstView dy, View dx,
                             View dweight_ih, View dweight_hh, View dbias_ih, View dbias_hh) = 0;

  // -- Pooling over time: x [N, L, C], y [N, Lo, C]; index (i32, y's shape): the maximum's time
  // step.
  virtual void max_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y, View index) = 0;
  virtual void max_pool1d_backward(const Pool1dSpec& spec, ConstView index, ConstView dy,
                                   View dx) = 0;
  virtual void avg_pool1d_forward(const Pool1dSpec& spec, ConstView x, View y) = 0;
  virtual void avg_pool1d_backward(const Pool1dSpec& spec, ConstView dy, View dx) = 0;
  // Output i averages inputs floor(i L / Lo) .. ceil((i + 1) L / Lo) - 1, as PyTorch.
  virtual void adaptive_avg_pool1d_forward(ConstView x, View y) = 0;
  virtual void adaptive_avg_pool1d_backward(ConstView dy, View dx) = 0;

  // y[n, l, c] = x[n, l / factor, c]: nn.Upsample(mode="nearest") with a whole factor. x [N, L, C],
  // y [N, factor L, C].
  virtual void upsample_nearest_forward(std::int64_t factor, ConstView x, View y) = 0;
  virtual void upsample_nearest_backward(std::int64_t factor, ConstView dy, View dx) = 0;

  // -- Attention: q [N, Lq, D], k and v [N, Lk, D], y [N, Lq, D]. lse [N, heads, Lq]: the logarithm
  // of the sum of each query's exponentials, from which backward computes the probabilities again
  // instead of keeping them (Dao et al. 2022). A query that sees no key gets zeros, where PyTorch
  // gives NaN; its lse is -inf. Dropout: key j of query i of head h takes word j % 4 of the
  // record's draw (h Lq + i) ceil(Lk / 4) + j / 4.
  virtual void attention_forward(const AttentionSpec& spec, const AttentionMasks& masks,
                                 ConstView q, ConstView k, ConstView v, View y, View lse) = 0;
  virtual void attention_backward(const AttentionSpec& spec, const AttentionMasks& masks,
                                  ConstView q, ConstView k, ConstView v, ConstView y, ConstView lse,
                                  ConstView dy, View dq, View dk, View dv) = 0;

  // -- Tokens. Rows of a table: indices i32 [...], weight [V, D], y [..., D]. An index outside
  // 0 .. V - 1 throws InputError (a device that cannot look writes NaN). dweight sums in the order
  // of the indices.
  virtual void embedding_forward(ConstView indices, ConstView weight, View y) = 0;
  virtual void embedding_backward(ConstView indices, ConstView dy, View dweight) = 0;
  // x floating [..., C], y i32 of x's shape; NaN counts as low.
  virtual void quantize(const QuantizeSpec& spec, ConstView x, View y) = 0;

  // -- Normalisation over rows (BatchNorm: x [..., C], all leading axes) or over C (LayerNorm).
  // Training BatchNorm (Ioffe & Szegedy 2015): biased variance normalises, the unbiased one updates
  // running = (1 - momentum) running + momentum batch. mean and inv_std [C] are saved for backward.
  // A residual of x's shape (optional) and ReLU (spec.relu) come in the same pass, as a residual
  // network's block ends (He et al. 2016):
  //   y = relu(gamma (x - mean) inv_std + beta + residual).
  // Backward takes y for ReLU alone, which cuts the gradient where y <= 0 (absent without: it is
  // not read); dresidual, optional, is what it leaves of dy.
  virtual void batch_norm_training_forward(const BatchNormSpec& spec, ConstView x, ConstView gamma,
                                           ConstView beta, ConstView residual, View running_mean,
                                           View running_var, View y, View mean, View inv_std) = 0;
  virtual void batch_norm_training_backward(const BatchNormSpec& spec, ConstView x, ConstView gamma,
                                            ConstView mean, ConstView inv_std, ConstView y,
                                            ConstView dy, View dx, View dresidual, View dgamma,
                                            View dbeta) = 0;
  virtual void batch_norm_inference_forward(const BatchNormSpec& spec, ConstView x, ConstView gamma,
                                            ConstView beta, ConstView residual,
                                            ConstView running_mean, ConstView running_var,
                                            View y) = 0;
  virtual void batch_norm_inference_backward(const BatchNormSpec& spec, ConstView x,
                                             ConstView gamma, ConstView running_mean,
                                             ConstView running_var, ConstView y, ConstView dy,
                                             View dx, View dresidual, View dgamma, View dbeta) = 0;
  // LayerNorm over the last axis (Ba et al. 2016); gamma and beta [C]; mean and inv_std one a row.
  virtual void layer_norm_forward(ConstView x, ConstView gamma, ConstView beta, double eps, View y,
                                  View mean, View inv_std) = 0;
  virtual void layer_norm_backward(ConstView x, ConstView gamma, ConstView mean, ConstView inv_std,
                                   ConstView dy, View dx, View dgamma, View dbeta) = 0;

  // -- Loss. Binary cross-entropy of sigmoid(logits) against targets in [0, 1], in the form that
  // does not overflow; pos_weight [C] optional weighs the positive term besides (PyTorch's
  // BCEWithLogitsLoss). loss: one element, or the logits' shape for Reduction::none. dlogits,
  // optional: d loss / d logits.
  virtual void bce_with_logits(const BceSpec& spec, ConstView logits, ConstView targets,
                               ConstView pos_weight, View loss, View dlogits) = 0;

  // -- Optimizer, over a flat buffer.
  // norm[0] = L2 norm of gradients; factor[0] = min(1, max_norm / (norm + 1e-6)), PyTorch's
  // clip_grad_norm_; max_norm <= 0 gives factor 1. gradients are f32 or bf16, norm and factor f32
  // (f64 on the reference).
  virtual void gradient_norm(ConstView gradients, double max_norm, View norm, View factor) = 0;
  // One pass over all buffers. The schedule is read where the operation runs, so that a captured
  // step can be replayed with new values.
  virtual void optimizer_step(const OptimizerSpec& spec, const OptimizerOperands& x) = 0;

  // -- Data. y f32 (or bf16 on cuda, f64 on the reference) [N, Lo, C'], Lo <= L, C' >= C: cropped,
  // scaled and augmented in one pass (kernels/augment.h). Channels beyond the records' C leads are
  // 0, so that 12 leads may become the 16 that tensor cores read in whole accesses.
  virtual void gather_records(const GatherSpec& spec, const GatherOperands& x, View y) = 0;
  // Each lead of each record denoised; x and y [N, L, C] of one dtype. Throws InputError for a
  // wavelet that is not there, and where L is too short for the levels.
  virtual void wavelet_denoise(const WaveletDenoiseSpec& spec, ConstView x, View y) = 0;
};

// What is asked of a device beyond the dtypes of its operands. The CPU computes in f32, and the
// same bits in every run, whatever is asked.
struct BackendOptions {
  // Products and convolutions of f32 may round their factors to TF32, 10 bits of mantissa; sums,
  // storage and everything else stay f32.
  bool tf32 = false;
  bool deterministic = true;  // nothing whose bits differ from run to run
  // Where an operation can be computed in several ways: "measure" takes the fastest, "own" no
  // library's; otherwise the beginning of a way's name, which is taken where it is offered.
  std::string plans = "measure";
  // The file that keeps what was measured; empty: one in the user's cache; "off": none.
  std::string plan_file;
};

// "cpu", "cuda" or "cuda:1". Throws InputError for anything else, DeviceError where the build or
// the machine lacks the device: there is no silent fall-back.
std::shared_ptr<Backend> make_backend(std::string_view device, const BackendOptions& options = {});

// One line: which backends this build has, with library versions.
std::string built_backends();
// Its part that speaks of this one; opens no other one's libraries.
std::string describe_backend(const Backend& backend);

}  // namespace cardiograd
