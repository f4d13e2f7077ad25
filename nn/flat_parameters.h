// All parameters of a module in one buffer, all gradients in another: one kernel does the optimizer
// step, one reduction the norm, a few calls the all-reduce.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "nn/module.h"

namespace cardiograd {

struct FlatOptions {
  // Parameters of fewer than two dimensions (biases, and what normalisation layers have) get no
  // weight decay: they lie behind all others.
  bool decay_groups = false;
  // Shell-style patterns of names ("conv*.weight", "features.*"), see matches() of kernels/text.h:
  // these parameters stay as they are. Backward computes no gradient for them.
  std::vector<std::string> frozen{};
  // A bucket of gradients ends with the parameter that fills it up to this size.
  std::int64_t bucket_bytes = std::int64_t{1} << 20;
  // Where the values lie, the gradients, and what zeros() makes: the backend's memory, asked for
  // once for each. Without it, or where it gives none, they have memory of their own. Processes may
  // share it.
  std::function<std::shared_ptr<void>(std::size_t bytes)> memory{};
};

class FlatParameters {
 public:
  // Moves the module's parameters into one buffer; every tensor that shared their memory through
  // the module sees the move. Parameters begin at multiples of 64 bytes; the padding stays zero.
  // A parameter that the module has under two names is there once, under the first. All parameters
  // must have one dtype (ShapeError). Throws InputError where a pattern fits no name, or nothing is
  // left to train.
  explicit FlatParameters(const Module& module, const FlatOptions& options = {});

  struct Span {
    std::string name;
    std::int64_t offset = 0;  // elements
    Dims dims;
    TorchLayout layout;
  };

  const Tensor& values() const { return values_; }
  const Tensor& gradients() const { return gradients_; }
  // What an optimizer steps: values() itself, or f32 copies of them where these are bf16.
  const Tensor& master() const { return master_; }
  // Zeros laid out like master(), for what an optimizer keeps beside it.
  Tensor zeros() const;
  // Takes the copies from values() again, after those were loaded or set.
  void refresh_master();
  const std::vector<Span>& spans() const { return spans_; }
  // Where a parameter of the module lies; null for one that is not trained.
  const Span* span_of(const Tensor& parameter) const;
  // Elements [0, decayed()) are those that get weight decay.
  std::int64_t decayed() const { return decayed_; }
  // Of `flat`, a buffer laid out like values(): the tensor of one parameter.
  static Tensor part(const Tensor& flat, const Span& span);

  // Marks all gradients as zero, without touching memory. Backward passes after one another
  // without it add up (gradient accumulation).
  void zero_grad();
  // After backward, before anything reads gradients(): writes the zeros of parameters that the loss
  // did not depend on, and reports the buckets that have not been reported.
  void finish_gradients();

  // The gradients [first, first + count) are final: the operations that write them are done, or
  // ahead in the backend's queue. Ranges are whole buckets, each reported once between two calls of
  // zero_grad, together all of gradients().
  using BucketReady = std::function<void(std::int64_t first, std::int64_t count)>;
  // Buckets are cut from the end of the buffer, where backward starts, and where weight decay ends;
  // each is reported as soon as backward() has completed the last of its gradients. The order
  // follows from the model's graph: it is the same in every process that trains the same model.
  void on_ready(BucketReady callback) { on_ready_ = std::move(callback); }
  // loss.backward(), with reports to on_ready in the last pass of a step. Under gradient
  // accumulation the earlier ones say last_pass = false (or are loss.backward()). Throws ShapeError
  // for a pass after the last one.
  void backward(const Tensor& loss, bool last_pass = true);

 private:
  struct Bucket {
    std::int64_t first = 0;
    std::int64_t count = 0;
    std::int64_t parameters = 0;
    std::int64_t waiting = 0;  // parameters whose gradients are not final yet
  };

  void lay_out(const std::vector<NamedTensor>& trained, bool decay_groups);
  Tensor zeros(const std::shared_ptr<Backend>& backend, std::int64_t count, DType dtype) const;
  void cut_buckets(std::int64_t bucket_bytes);
  void complete(std::size_t parameter);
  void report(Bucket& bucket);

  std::function<std::shared_ptr<void>(std::size_t bytes)> memory_;
  Tensor values_;
  Tensor gradients_;
  Tensor master_;
  std::vector<Span> spans_;
  std::vector<Tensor> parameters_;
  std::int64_t decayed_ = 0;

  BucketReady on_ready_;
  std::vector<Bucket> buckets_;         // the end of the buffer first
  std::vector<std::size_t> bucket_of_;  // one a parameter
  std::unordered_map<const TensorImpl*, std::size_t> index_;
  bool reporting_ = false;  // since the last pass of a step began
};

}  // namespace cardiograd
