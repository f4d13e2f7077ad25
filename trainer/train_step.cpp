#include "trainer/train_step.h"

#include <cmath>

#include "nn/ops.h"
#include "nn/random.h"

namespace cardiograd {

TrainStep::TrainStep(const Session& session, const RunConfig& config)
    : session_(session),
      train_(config.train),
      parameters_(*session.model,
                  {.decay_groups = train_.decay == "weights", .frozen = train_.freeze}),
      optimizer_(optimizer_spec(train_), parameters_) {
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

double TrainStep::operator()(std::span<const Batch> batches, std::int64_t epoch) {
  keep_buffers();
  parameters_.zero_grad();
  std::int64_t examples = 0;
  for (const Batch& batch : batches) examples += batch.size;
  double mean = 0.0;
  for (const Batch& batch : batches) {
    const RandomScope random(static_cast<std::uint64_t>(train_.seed),
                             static_cast<std::uint32_t>(epoch), batch.records);
    const Tensor logits = session_.model->forward({batch.signal, batch.notes});
    Tensor loss = loss_(logits, batch.targets);
    if (batches.size() > 1) {
      loss = scale(loss, static_cast<double>(batch.size) / static_cast<double>(examples));
    }
    parameters_.backward(loss, &batch == &batches.back());
    mean += loss.item();
  }
  if (std::isfinite(mean)) {
    optimizer_.step(train_.clip_norm);
  } else {
    restore_buffers();
  }
  return mean;
}

}  // namespace cardiograd
