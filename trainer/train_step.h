// One optimizer step: forward, loss, backward, update.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nn/flat_parameters.h"
#include "nn/optimizer.h"
#include "nn/replayed_step.h"
#include "nn/shared_batch.h"
#include "trainer/config.h"
#include "trainer/memory_report.h"
#include "trainer/ranks.h"
#include "trainer/schedule.h"
#include "trainer/session.h"
#include "trainer/shared_update.h"

namespace cardiograd {

class TrainStep {
 public:
  // Moves the model's parameters into one buffer, where they are rank 0's. Session, ranks and
  // exchange must outlive it. `say` is told what the user should know. Throws InputError where
  // train.freeze does not fit the model.
  TrainStep(const Session& session, const RunConfig& config, const Ranks& ranks,
            RankExchange& exchange, std::function<void(const std::string&)> say);

  // Learning rate and momentum of the next step.
  void set_rate(const Schedule::Point& rate);
  void set_loss(Loss loss) { loss_ = std::move(loss); }
  const Loss& loss() const { return loss_; }

  // Begins a step, on the batches whose gradients make one together (train.accumulate); the
  // device may do it later. What this rank asks for (RankExchange) goes with it.
  void begin(std::span<const Batch> batches, std::int64_t epoch);
  // Finishes the oldest step that has begun: the mean loss of its examples, of all ranks. Where it
  // is not finite the optimizer did not step; and with train.on_nan = "skip" nothing of the batches
  // stays, running statistics included. The exchange hears what the ranks asked for at its begin.
  double finish();
  // How many steps may be unfinished when another one begins: with one, the device need not wait
  // for who reads the loss.
  std::size_t ahead() const;
  // When batches for this step are best gathered.
  GatherTime gather_time() const;

  // What a step holds in the device's memory; see memory_report.h.
  MemoryReport memory() const;

  Optimizer& optimizer() { return optimizer_; }
  const Optimizer& optimizer() const { return optimizer_; }

 private:
  // A step's forward and backward passes. Returns f32: the mean loss of its examples; with several
  // ranks of all of theirs, and behind it the sums of what they ask for.
  Tensor differentiate(std::span<const Batch> batches, std::int64_t epoch);
  void start_sum(const Tensor& figures, const std::string& step);
  Tensor work(const ReplayedStep::Inputs& inputs);
  bool is_alike_on_all_ranks(std::span<const Batch> batches) const;
  void write_asked();
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
  Optimizer optimizer_;
  // Of several ranks: they share out the update, or add up all gradients and each does all of it.
  std::optional<SharedUpdate> shared_update_;
  std::optional<GradientReduction> reduction_;
  Loss loss_;
  std::vector<Tensor> buffers_, kept_;  // the model's, and what they were before the batches
  // What is begun: the sizes and draws of its batches, whose tensors come as the step's inputs.
  std::vector<Batch> batches_;
  std::int64_t epoch_ = 0;
  ReplayedStep step_;
  std::deque<std::unique_ptr<LaterValues>> figures_;  // of the steps that are not finished
  Tensor asked_;                                      // what this rank asks for, on the device
  RankExchange::Asked written_{};                     // what asked_ holds
};

}  // namespace cardiograd
