#include "nn/replayed_step.h"

#include <algorithm>
#include <utility>

#include "kernels/error.h"
#include "nn/layer_scope.h"

namespace cardiograd {

namespace {

class KnownValue final : public LaterValue {
 public:
  explicit KnownValue(double value) : value_(value) {}
  double get() override { return value_; }

 private:
  double value_;
};

bool alike(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  return a.dims() == b.dims() && a.dtype() == b.dtype();
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
      options_(options),
      recorder_(options.replays ? backend_->make_recorder() : nullptr),
      trace_(current_owner) {}

Tensor ReplayedStep::operator()(const Inputs& inputs, std::uint32_t epoch) {
  if (!recorder_ && !options_.traces_memory) return work_(inputs);
  if (done_ == 0) {
    for (const Tensor& input : inputs) {
      inputs_.push_back(input.defined() ? Tensor::empty(backend_, input.dims(), input.dtype())
                                        : Tensor());
    }
  }
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
  try {
    recorder_->record([this] { result_ = work_(inputs_); }, trace_);
    return recorded_ = true;
  } catch (const std::exception& error) {
    say_(std::string("training steps are not recorded: ") + error.what());
    result_ = {};
    recorder_.reset();
    return false;
  }
}

void ReplayedStep::take(const Inputs& inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined()) backend_->copy(inputs[i].view(), inputs_[i].view());
  }
}

std::unique_ptr<LaterValue> ReplayedStep::value_later(const Tensor& result) const {
  if (recorder_) return recorder_->value_later(result.view());
  return std::make_unique<KnownValue>(result.item());
}

}  // namespace cardiograd
