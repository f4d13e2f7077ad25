#include "trainer/train_step.h"

#include <cmath>

#include "nn/ops.h"
#include "nn/random.h"

namespace cardiograd {

TrainStep::TrainStep(const Session& session, const RunConfig::Train& train)
    : session_(session),
      train_(train),
      parameters_(*session.model),
      optimizer_(optimizer_spec(train), parameters_) {
  if (train.on_nan != "skip") return;
  for (const NamedTensor& buffer : session.model->buffers()) {
    buffers_.push_back(buffer.tensor);
    kept_.push_back(Tensor::full(session.backend, buffer.tensor.dims(), buffer.tensor.dtype(), 0));
  }
}

void TrainStep::set_lr_factor(double factor) { optimizer_.set_learning_rate(train_.lr * factor); }

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

double TrainStep::operator()(const Batch& batch, std::int64_t epoch) {
  const RandomScope random(static_cast<std::uint64_t>(train_.seed),
                           static_cast<std::uint32_t>(epoch), batch.records);
  keep_buffers();
  parameters_.zero_grad();
  const Tensor logits = session_.model->forward({batch.signal, batch.notes});
  const Tensor loss = bce_with_logits(logits, batch.targets, pos_weight_);
  loss.backward();
  const double value = loss.item();
  if (std::isfinite(value)) {
    optimizer_.step(train_.clip_norm);
  } else {
    restore_buffers();
  }
  return value;
}

}  // namespace cardiograd
