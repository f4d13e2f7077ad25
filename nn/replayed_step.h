// A step that is done again and again on inputs of the same shapes: recorded and replayed as a
// whole where the device can (kernels/recording.h), done operation by operation elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/recording.h"
#include "nn/tensor.h"

namespace cardiograd {

class ReplayedStep {
 public:
  using Inputs = std::vector<Tensor>;  // some may be undefined
  // Does the step; returns f32 values, the loss among them. It may run any number of times, and
  // must ask for the same operations each time that the inputs have the same shapes.
  using Work = std::function<Tensor(const Inputs&)>;

  struct Options {
    bool replays = true;         // where the device can
    bool traces_memory = false;  // also where it cannot
    // Where others take part in the step: whether it was recorded by all of them, of whether it was
    // by this one. What some replay and others do not may be out of step.
    std::function<bool(bool recorded)> agree = [](bool recorded) { return recorded; };
  };
  // `say` is told, in a sentence, why steps are not recorded after all.
  ReplayedStep(std::shared_ptr<Backend> backend, Work work, Options options,
               std::function<void(const std::string&)> say);

  // One step. The third one of the same shapes is recorded: those of the first step, or of a later
  // and larger one (a run that goes on may begin with the rest of a batch). Steps with others are
  // done as they are. So nothing is done besides the steps: no warm-up leaves its trace.
  // `epoch`: of the random draws. `replayable`: false where others that take part in the step may
  // have other shapes than in the steps before; it is then done as it is. What is returned holds
  // until the next step.
  Tensor operator()(const Inputs& inputs, std::uint32_t epoch, bool replayable = true);
  // The result of the last step, to be read when more has been asked for.
  std::unique_ptr<LaterValues> values_later(const Tensor& result) const;

  // Whether steps may be replayed.
  bool replays() const { return recorder_ != nullptr; }
  // Whether one has been.
  bool replayed() const { return recorded_; }
  // What the second of these steps took, by layer and pass ("conv1 forward"), where it was traced.
  const MemoryTrace& memory() const { return trace_; }
  // Of the memory that replayed steps live in; 0 where none is.
  std::size_t arena_bytes() const { return recorder_ ? recorder_->arena_bytes() : 0; }

 private:
  void adopt(const Inputs& inputs);
  Tensor trace(const Inputs& inputs);
  bool record();
  void take(const Inputs& inputs);

  std::shared_ptr<Backend> backend_;
  Work work_;
  std::function<void(const std::string&)> say_;
  Options options_;
  std::unique_ptr<Recorder> recorder_;
  MemoryTrace trace_;
  int done_ = 0;  // steps with the shapes of inputs_
  bool recorded_ = false;
  Inputs inputs_;  // of the recorded step: copies of the given ones, at addresses that stay
  Tensor result_;  // lives in the recorder's memory
};

}  // namespace cardiograd
