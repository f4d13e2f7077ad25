#include "nn/replayed_step.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"
#include "nn/layer_scope.h"

namespace cardiograd {

namespace {

class KnownValues final : public LaterValues {
 public:
  explicit KnownValues(std::vector<float> values) : values_(std::move(values)) {}
  bool ready() const override { return true; }
  std::vector<float> get() const override { return values_; }

 private:
  std::vector<float> values_;
};

bool alike(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.dims() == b.dims() && a.dtype() == b.dtype();
}

std::int64_t elements_of(const ReplayedStep::Inputs& inputs) {
  std::int64_t count = 0;
  for (const Tensor& input : inputs) count += input.defined() ? input.numel() : 0;
  return count;
}

// Who asks for memory: "conv1 forward".
std::string current_owner() {
  const std::string layer = LayerScope::current();
  return (layer.empty() ? "-" : layer) + " " + std::string(name_of(PassScope::current()));
}

}  // namespace

ReplayedStep::ReplayedStep(std::shared_ptr<Backend> backend, Work work, Options options,
                           std::function<void(const std::string&)> say)
    : backend_(std::move(backend)),
      work_(std::move(work)),
      say_(std::move(say)),
      options_(std::move(options)),
      recorder_(options_.replays ? backend_->make_recorder() : nullptr),
      trace_(current_owner) {}

Tensor ReplayedStep::operator()(const Inputs& inputs, std::uint32_t epoch, bool replayable) {
  if (!replayable || (!recorder_ && !options_.traces_memory)) return work_(inputs);
  if (done_ == 0 || (!recorded_ && elements_of(inputs) > elements_of(inputs_))) adopt(inputs);
  if (!std::equal(inputs.begin(), inputs.end(), inputs_.begin(), inputs_.end(), alike)) {
    return work_(inputs);
  }
  // In the first step libraries choose how they compute, which takes time and memory of its own.
  if (done_++ == 0) return work_(inputs);
  if (done_ == 2) return trace(inputs);
  if (!recorder_) return work_(inputs);
  if (!recorded_ && !record()) return work_(inputs);
  take(inputs);
  recorder_->replay(epoch);
  return result_;
}

// From now on, steps of these shapes are those to record.
void ReplayedStep::adopt(const Inputs& inputs) {
  inputs_.clear();
  for (const Tensor& input : inputs) {
    inputs_.push_back(input.defined() ? Tensor::empty(backend_, input.dims(), input.dtype())
                                      : Tensor());
  }
  trace_ = MemoryTrace(current_owner);
  done_ = 0;
}

Tensor ReplayedStep::trace(const Inputs& inputs) {
  backend_->trace_memory(&trace_);
  try {
    Tensor result = work_(inputs);
    backend_->trace_memory(nullptr);
    return result;
  } catch (...) {
    backend_->trace_memory(nullptr);
    throw;
  }
}

bool ReplayedStep::record() {
  std::string fault;
  try {
    recorder_->record([this] { result_ = work_(inputs_); }, trace_);
  } catch (const std::exception& error) {
    fault = error.what();
  }
  recorded_ = options_.agree(fault.empty());
  if (recorded_) return true;
  say_("training steps are not recorded: " +
       (fault.empty() ? "another process could not record them" : fault));
  result_ = {};
  recorder_.reset();
  return false;
}

void ReplayedStep::take(const Inputs& inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined()) backend_->copy(inputs[i].view(), inputs_[i].view());
  }
}

std::unique_ptr<LaterValues> ReplayedStep::values_later(const Tensor& result) const {
  if (recorder_) return recorder_->values_later(result.view());
  return std::make_unique<KnownValues>(result.to_vector<float>());
}

}  // namespace cardiograd
