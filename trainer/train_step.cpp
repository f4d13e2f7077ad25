#include "trainer/train_step.h"

#include <cmath>
#include <utility>

#include "nn/layer_scope.h"
#include "nn/ops.h"
#include "nn/random.h"

namespace cardiograd {

TrainStep::TrainStep(const Session& session, const RunConfig& config, const Ranks& ranks,
                     RankExchange& exchange)
    : session_(session),
      exchange_(exchange),
      ranks_(ranks),
      train_(config.train),
      shares_batch_(config.model.sync_batch_norm && !ranks.alone()),
      parameters_(*session.model,
                  {.decay_groups = train_.decay == "weights", .frozen = train_.freeze}),
      reduction_(parameters_, ranks),
      optimizer_(optimizer_spec(train_), parameters_) {
  ranks.broadcast(session.model->parameters(), "the broadcast of the model");
  ranks.broadcast(session.model->buffers(), "the broadcast of the model");
  if (train_.on_nan != "skip") return;
  for (const NamedTensor& buffer : session.model->buffers()) {
    buffers_.push_back(buffer.tensor);
    kept_.push_back(Tensor::full(session.backend, buffer.tensor.dims(), buffer.tensor.dtype(), 0));
  }
}

void TrainStep::set_rate(const Schedule::Point& rate) {
  optimizer_.set_learning_rate(rate.lr);
  if (rate.momentum) optimizer_.set_momentum(*rate.momentum);
}

void TrainStep::keep_buffers() {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    session_.backend->copy(buffers_[i].view(), kept_[i].view());
  }
}

void TrainStep::restore_buffers() {
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    session_.backend->copy(kept_[i].view(), buffers_[i].view());
  }
}

// A rank that has nothing of a batch is still asked for its part of the sums in between.
bool TrainStep::takes_part(const Batch& batch) const { return batch.size > 0 || shares_batch_; }

std::optional<SharedBatchScope> TrainStep::share(const Batch& batch,
                                                 const std::string& what) const {
  if (!shares_batch_) return {};
  return std::optional<SharedBatchScope>(
      std::in_place, SharedBatch{[this, what](const View& view) {
                                   ranks_.communicator().all_reduce_sum(view, what);
                                 },
                                 batch.whole});
}

Tensor TrainStep::loss_of(const Batch& batch) const {
  const PassScope pass(Pass::forward);
  return loss_(session_.model->forward({batch.signal, batch.notes}), batch.targets);
}

double TrainStep::operator()(std::span<const Batch> batches, std::int64_t epoch) {
  keep_buffers();
  parameters_.zero_grad();
  const std::string step = " of step " + std::to_string(optimizer_.steps() + 1);
  reduction_.begin("the gradients" + step);
  std::int64_t examples = 0;
  const Batch* last = nullptr;
  for (const Batch& batch : batches) {
    examples += batch.whole;
    if (takes_part(batch)) last = &batch;
  }
  std::vector<Tensor> losses;
  for (const Batch& batch : batches) {
    if (!takes_part(batch)) continue;
    const std::optional<SharedBatchScope> shared = share(batch, "the batch's moments" + step);
    const RandomScope random(static_cast<std::uint64_t>(train_.seed),
                             static_cast<std::uint32_t>(epoch), batch.records);
    Tensor loss = loss_of(batch);
    if (batch.size != examples) {
      loss = scale(loss, static_cast<double>(batch.size) / static_cast<double>(examples));
    }
    parameters_.backward(loss, &batch == last);
    if (batch.size > 0) losses.push_back(loss);
  }
  reduction_.finish();
  double mean = 0.0;
  for (const Tensor& loss : losses) mean += loss.item();
  exchange_.sum({&mean, 1}, "the loss" + step);
  if (std::isfinite(mean)) {
    optimizer_.step(train_.clip_norm);
  } else {
    restore_buffers();
  }
  return mean;
}

}  // namespace cardiograd
