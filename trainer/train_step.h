// One optimizer step: forward, loss, backward, update.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/flat_parameters.h"
#include "nn/optimizer.h"
#include "trainer/config.h"
#include "trainer/session.h"

namespace cardiograd {

class TrainStep {
 public:
  // Moves the model's parameters into one buffer. The session must outlive it.
  TrainStep(const Session& session, const RunConfig::Train& train);

  // Weights of the classes' positives in the loss; undefined: 1.
  void set_pos_weight(const Tensor& pos_weight) { pos_weight_ = pos_weight; }
  const Tensor& pos_weight() const { return pos_weight_; }
  // Multiplies the configured learning rate.
  void set_lr_factor(double factor);

  // The mean loss of the batch. Where it is not finite the optimizer does not step; and with
  // train.on_nan = "skip" nothing of the batch stays, running statistics included.
  double operator()(const Batch& batch, std::int64_t epoch);

  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }

 private:
  void keep_buffers();
  void restore_buffers();

  const Session& session_;
  RunConfig::Train train_;
  FlatParameters parameters_;
  Optimizer optimizer_;
  Tensor pos_weight_;
  std::vector<Tensor> buffers_, kept_;  // the model's, and what they were before the batch
};

}  // namespace cardiograd
