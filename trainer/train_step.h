// One optimizer step: forward, loss, backward, update.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nn/flat_parameters.h"
#include "nn/optimizer.h"
#include "nn/shared_batch.h"
#include "trainer/config.h"
#include "trainer/ranks.h"
#include "trainer/schedule.h"
#include "trainer/session.h"

namespace cardiograd {

class TrainStep {
 public:
  // Moves the model's parameters into one buffer, where they are rank 0's. Session, ranks and
  // exchange must outlive it. Throws InputError where train.freeze does not fit the model.
  TrainStep(const Session& session, const RunConfig& config, const Ranks& ranks,
            RankExchange& exchange);

  // Learning rate and momentum of the next step.
  void set_rate(const Schedule::Point& rate);
  void set_loss(Loss loss) { loss_ = std::move(loss); }
  const Loss& loss() const { return loss_; }

  // The mean loss of the batches' examples, of all ranks, whose gradients make one step together
  // (train.accumulate). Where it is not finite the optimizer does not step; and with train.on_nan =
  // "skip" nothing of the batches stays, running statistics included.
  double operator()(std::span<const Batch> batches, std::int64_t epoch);

  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }

 private:
  bool takes_part(const Batch& batch) const;
  Tensor loss_of(const Batch& batch) const;
  std::optional<SharedBatchScope> share(const Batch& batch, const std::string& what) const;
  void keep_buffers();
  void restore_buffers();

  const Session& session_;
  RankExchange& exchange_;
  const Ranks& ranks_;
  RunConfig::Train train_;
  bool shares_batch_;  // BatchNorm is over that of all ranks
  FlatParameters parameters_;
  GradientReduction reduction_;
  Optimizer optimizer_;
  Loss loss_;
  std::vector<Tensor> buffers_, kept_;  // the model's, and what they were before the batches
};

}  // namespace cardiograd
