// SGD with momentum, RMSprop, Adam, AdamW over the flat parameters, with PyTorch's arithmetic; and
// an exponential moving average of the weights.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nn/flat_parameters.h"
#include "nn/state_dict.h"

namespace cardiograd {

struct OptimizerOptions : OptimizerSpec {
  double lr = 1e-3;
  // Decay of the weights' moving average (Polyak & Juditsky 1992; with the warm-up of
  // TensorFlow's ExponentialMovingAverage: min(ema_decay, (1 + step) / (10 + step)), step from 1),
  // in [0, 1); 0: no average is kept.
  double ema_decay = 0.0;
};

// "sgd", "rmsprop", "adam", "adamw", with PyTorch's default hyper-parameters (lr: 1e-3; rmsprop and
// sgd 1e-2). Throws InputError with the nearest name for anything else.
OptimizerOptions optimizer_defaults(std::string_view name);

class Optimizer {
 public:
  // Weight decay is for the elements that `parameters` says. Throws InputError for a decay of the
  // average outside [0, 1).
  Optimizer(const OptimizerOptions& options, FlatParameters& parameters);

  // Clips the whole gradient to `max_norm` (<= 0: no clipping), then updates the parameters.
  void step(double max_norm = 0.0);
  // The two halves of a step. begin_step counts it and hands learning rate, step, momentum and the
  // average's decay to the device; update does the rest from what lies there, so that it may be
  // recorded once and replayed after each begin_step. Where `guard` (f32 [1], a loss) is there and
  // not finite, the update changes nothing: take_back_step() then says that there was no step.
  void begin_step();
  void update(double max_norm = 0.0, const Tensor& guard = {});
  void take_back_step() { --steps_; }
  // For processes that share out an update: that of elements [first, first + count) alone, whose
  // gradients must be final, without clipping. `collect`, set before, fetches into kept() what the
  // others have updated; it is called when that is about to be read.
  void update_part(std::int64_t first, std::int64_t count, const Tensor& guard = {});
  void collect_with(std::function<void()> collect) { collect_ = std::move(collect); }
  // What a step writes beside the parameters, laid out like them: states and average.
  std::vector<Tensor> kept() const;
  // L2 norm of the gradient of the last step, before clipping; only where max_norm was positive.
  double last_gradient_norm() const;

  const OptimizerOptions& spec() const { return options_; }
  void set_learning_rate(double lr) { options_.lr = lr; }
  // Momentum of sgd and rmsprop, beta1 of adam and adamw, from the next step on; an optimizer
  // without momentum stays one.
  void set_momentum(double momentum);
  std::int64_t steps() const { return steps_; }
  // Whether the model has the average for the moment (AveragedWeights).
  bool averaged() const { return averaged_; }
  // Of its states and average.
  std::size_t bytes() const;

  // One tensor a parameter and state, "conv1.weight.square_avg", PyTorch's shapes; "NAME.average"
  // where an average is kept, "NAME.master" for a model in bf16; and "step" (f64). A run that goes
  // on from the model's state and this one gives the same bits as one that never stopped.
  StateDict state_dict() const;
  // The module's own state, with bf16 parameters as the f32 values that are stepped (or averaged,
  // while the model has the averages): what a checkpoint keeps.
  StateDict model_state(const Module& module) const;
  // Throws InputError where the state is another model's or optimizer's, or has an average that
  // this optimizer does not keep, or the other way round.
  void load_state_dict(const StateDict& state, const std::string& source);

 private:
  friend class AveragedWeights;
  // A buffer laid out like the parameters, and what its tensors are called in a state.
  struct Buffer {
    std::string name;
    Tensor flat;
  };
  std::vector<Buffer> buffers() const;
  void write_schedule();
  void update_elements(std::int64_t first, std::int64_t count, ConstView factor,
                       const Tensor& guard);
  void collect() const;

  OptimizerOptions options_;
  FlatParameters& parameters_;
  std::vector<Tensor> states_;
  Tensor average_;  // undefined where none is kept
  Tensor norm_, factor_, schedule_;
  std::array<double, 4> written_{};  // what schedule_ holds
  std::int64_t steps_ = 0;
  std::function<void()> collect_;
  mutable bool partial_ = false;  // the others have newer parts of kept()
  bool averaged_ = false;         // the model has the average for the moment
};

// While it lives, the model computes with the averaged weights (not with averaged buffers: running
// statistics stay); then it has its own again. Without an average, or before the first step, it
// does nothing. No step may be done meanwhile (ShapeError).
class AveragedWeights {
 public:
  explicit AveragedWeights(Optimizer& optimizer);
  AveragedWeights(const AveragedWeights&) = delete;
  AveragedWeights& operator=(const AveragedWeights&) = delete;
  ~AveragedWeights();

 private:
  Optimizer& optimizer_;
  Tensor own_;
};

}  // namespace cardiograd
