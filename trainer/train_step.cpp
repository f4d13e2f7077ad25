#include "trainer/train_step.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "nn/layer_scope.h"
#include "nn/ops.h"
#include "nn/random.h"

namespace cardiograd {

namespace {

// The tensors of a batch, in an order that is always the same.
template <class BatchOrConst, class Use>
void for_each_tensor(BatchOrConst& batch, const Use& use) {
  use(batch.signal);
  use(batch.notes);
  use(batch.targets);
  use(batch.records);
  use(batch.parts.rows);
  use(batch.parts.partners);
  use(batch.parts.shares);
}

}  // namespace

TrainStep::TrainStep(const Session& session, const RunConfig& config, const Ranks& ranks,
                     RankExchange& exchange, std::function<void(const std::string&)> say)
    : session_(session),
      exchange_(exchange),
      ranks_(ranks),
      train_(config.train),
      shares_batch_(config.model.sync_batch_norm && !ranks.alone()),
      parameters_(*session.model, {.decay_groups = train_.decay == "weights",
                                   .frozen = train_.freeze,
                                   .memory =
                                       [&ranks](std::size_t bytes) {
                                         return ranks.communicator().shared_memory(
                                             bytes, "the memory of the parameters");
                                       }}),
      optimizer_(optimizer_spec(train_), parameters_),
      step_(
          session.backend, [this](const ReplayedStep::Inputs& inputs) { return work(inputs); },
          {.replays = config.replay,
           .traces_memory = session.traces_memory,
           .agree =
               [&ranks](bool recorded) {
                 return ranks.communicator().all(recorded, "the recording of a step");
               }},
          std::move(say)) {
  if (!ranks.alone()) {
    asked_ = Tensor::full(session.backend, {std::ssize(written_)}, DType::f32, 0.0);
    // Clipping needs all gradients on every rank.
    if (train_.clip_norm <= 0.0 && SharedUpdate::is_possible(parameters_, optimizer_, ranks)) {
      shared_update_.emplace(parameters_, optimizer_, ranks);
    } else {
      reduction_.emplace(parameters_, ranks);
    }
  }
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
  const Tensor logits = session_.model->forward({session_.source->signal_of(batch), batch.notes});
  return loss_(logits, batch.targets);
}

Tensor TrainStep::differentiate(std::span<const Batch> batches, std::int64_t epoch) {
  keep_buffers();
  parameters_.zero_grad();
  const std::string step = " of step " + std::to_string(optimizer_.steps());
  if (reduction_) reduction_->begin("the gradients" + step);
  std::int64_t examples = 0;
  const Batch* last = nullptr;
  for (const Batch& batch : batches) {
    examples += batch.whole;
    if (takes_part(batch)) last = &batch;
  }
  Tensor figures;
  if (!ranks_.alone()) {
    figures = Tensor::full(session_.backend, {1 + asked_.numel()}, DType::f32, 0.0);
  }
  if (last == nullptr) start_sum(figures, step);
  for (const Batch& batch : batches) {
    if (!takes_part(batch)) continue;
    const std::optional<SharedBatchScope> shared = share(batch, "the batch's moments" + step);
    const RandomScope random(static_cast<std::uint64_t>(train_.seed),
                             static_cast<std::uint32_t>(epoch), batch.records);
    Tensor loss = loss_of(batch);
    if (batch.size != examples) {
      loss = scale(loss, static_cast<double>(batch.size) / static_cast<double>(examples));
    }
    if (!figures.defined()) {
      figures = loss.detach();
    } else if (batch.size > 0) {
      session_.backend->accumulate(loss.view(), figures.window(0, loss.dims()).view());
    }
    if (&batch == last) start_sum(figures, step);
    parameters_.backward(loss, &batch == last);
  }
  if (reduction_) reduction_->finish();
  return figures;
}

// Before the last backward pass, so that it is over when that is. All ranks begin it there.
void TrainStep::start_sum(const Tensor& figures, const std::string& step) {
  if (ranks_.alone()) return;
  session_.backend->copy(asked_.view(), figures.window(1, asked_.dims()).view());
  ranks_.communicator().start_all_reduce_sum(figures.view(), "the loss" + step);
}

// Without a look at the loss in between: a loss that is not finite holds the update back.
Tensor TrainStep::work(const ReplayedStep::Inputs& inputs) {
  std::vector<Batch> batches = batches_;
  auto input = inputs.begin();
  for (Batch& batch : batches) {
    for_each_tensor(batch, [&](Tensor& tensor) { tensor = *input++; });
  }
  const Tensor figures = differentiate(batches, epoch_);
  const Tensor guard = figures.window(0, {1});
  if (shared_update_) {
    shared_update_->run(guard, "step " + std::to_string(optimizer_.steps()));
  } else {
    optimizer_.update(train_.clip_norm, guard);
  }
  return figures;
}

// Ranks may replay a step only together. Shares of a batch are alike where it divides evenly.
bool TrainStep::is_alike_on_all_ranks(std::span<const Batch> batches) const {
  return std::all_of(batches.begin(), batches.end(),
                     [this](const Batch& batch) { return batch.whole % ranks_.size() == 0; });
}

// As the optimizer's schedule: by fill, which needs no wait for the device.
void TrainStep::write_asked() {
  const RankExchange::Asked now = exchange_.take_asked();
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (now[i] == written_[i]) continue;
    const Tensor place = asked_.window(static_cast<std::int64_t>(i), {1});
    session_.backend->fill(place.view(), static_cast<double>(now[i]));
  }
  written_ = now;
}

void TrainStep::begin(std::span<const Batch> batches, std::int64_t epoch) {
  batches_.assign(batches.begin(), batches.end());
  epoch_ = epoch;
  ReplayedStep::Inputs inputs;
  for (const Batch& batch : batches) {
    for_each_tensor(batch, [&](const Tensor& tensor) { inputs.push_back(tensor); });
  }
  if (!ranks_.alone()) write_asked();
  optimizer_.begin_step();
  const Tensor figures =
      step_(inputs, static_cast<std::uint32_t>(epoch), is_alike_on_all_ranks(batches));
  // What is read now waits for the others without a time-out.
  if (!step_.replays()) {
    ranks_.communicator().finish("step " + std::to_string(optimizer_.steps()));
  }
  figures_.push_back(step_.values_later(figures));
  batches_.clear();
}

double TrainStep::finish() {
  const std::unique_ptr<LaterValues> later = std::move(figures_.front());
  if (!ranks_.alone()) {
    const auto ahead = static_cast<std::int64_t>(figures_.size()) - 1;
    ranks_.communicator().wait_until([&] { return later->ready(); },
                                     "step " + std::to_string(optimizer_.steps() - ahead));
  }
  figures_.pop_front();
  const std::vector<float> figures = later->get();
  if (!ranks_.alone()) exchange_.hear(std::span(figures).subspan(1));
  const auto loss = static_cast<double>(figures.front());
  if (!std::isfinite(loss)) {
    optimizer_.take_back_step();
    restore_buffers();
  }
  return loss;
}

// After a loss that is not finite, "stop" ends the run: what came after it does not matter.
std::size_t TrainStep::ahead() const { return step_.replays() && train_.on_nan == "stop" ? 1 : 0; }

MemoryReport TrainStep::memory() const {
  MemoryReport report;
  report.standing = {{"parameters", parameters_.values().view().bytes()},
                     {"gradients", parameters_.gradients().view().bytes()},
                     {"optimizer", optimizer_.bytes()}};
  if (parameters_.master().view().data != parameters_.values().view().data) {
    report.standing.emplace_back("parameters in float32", parameters_.master().view().bytes());
  }
  if (session_.source->is_resident()) {
    report.standing.emplace_back("data set", session_.dataset->signal().bytes());
  }
  report.step = step_.memory().owners_at_peak();
  report.step_peak = step_.memory().peak();
  report.arena = step_.arena_bytes();
  return report;
}

GatherTime TrainStep::gather_time() const {
  return step_.replays() ? GatherTime::later : GatherTime::ahead;
}

}  // namespace cardiograd
