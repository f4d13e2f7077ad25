#include "trainer/fit.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>

#include "kernels/text.h"
#include "nn/flat_parameters.h"
#include "nn/ops.h"
#include "nn/optimizer.h"
#include "nn/random.h"
#include "trainer/bootstrap.h"
#include "trainer/checkpoint.h"
#include "trainer/metrics_report.h"
#include "trainer/report.h"
#include "trainer/run_folder.h"
#include "trainer/session.h"
#include "trainer/training_set.h"

namespace cardiograd {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

std::string format(const char* pattern, double a, double b = 0.0) {
  char text[96];
  std::snprintf(text, sizeof text, pattern, a, b);
  return text;
}

// The session with the weights that training starts from.
Session open_initialised(const RunConfig& config) {
  Session session = open_session(config);
  if (!config.train.init.empty()) load_weights(session, config.train.init);
  return session;
}

// One run, from the first batch to the last checkpoint.
class Run {
 public:
  Run(const RunConfig& config, bool quiet)
      : config_(config),
        session_(open_initialised(config)),
        training_(open_training_set(session_, config)),
        valid_(examples_of(session_, config.data.valid_folds, "data.valid_folds")),
        test_(examples_of(session_, config.data.test_folds, "data.test_folds")),
        folder_(config.run.dir),
        progress_(quiet),
        parameters_(*session_.model),
        optimizer_(optimizer_spec(config.train), parameters_) {
    if (config.data.standardize == "lead" && config.reads("signal")) {
      state_.standardisation =
          lead_statistics(*session_.dataset, session_.source->records_of(training_.originals));
      session_.source->set_standardisation(state_.standardisation);
    }
    if (config.train.pos_weight == "balanced") {
      state_.pos_weight = balanced_weights();
      pos_weight_ = class_weights(session_, state_.pos_weight);
    }
    state_.seed = config.train.seed;
    state_.task = session_.task.name;
    state_.classes = session_.task.classes;
    state_.model = session_.options;
    state_.denoise = session_.dataset->denoise();
    if (session_.source->notes() && config.data.notes.empty()) {
      const std::span<const float> idf = session_.dataset->note_idf();
      state_.note_idf.assign(idf.begin(), idf.end());
    }
    write_file(folder_.path() / "config.toml", to_toml(config));
  }

  FitResult train() {
    announce();
    for (std::int64_t epoch = 1; epoch <= config_.train.epochs; ++epoch) {
      train_epoch(epoch);
      validate(epoch);
    }
    return test();
  }

 private:
  void announce() {
    const std::string augmentation = describe_augmentation(config_.augment);
    progress_.finish(
        config_.model.name + " on " + join(config_.data.inputs, " and ") + ": " +
        std::to_string(session_.model->parameter_count()) + " parameters, " + config_.data.task +
        " (" + std::to_string(session_.task.classes.size()) + " classes), " +
        std::to_string(training_.examples.size()) + " records to train on, " +
        std::to_string(valid_.size()) + " to validate, " + std::to_string(test_.size()) +
        " to test, " + std::to_string(session_.source->dropped()) + " without a label, on " +
        session_.backend->name() + (augmentation.empty() ? "" : ", augmented: " + augmentation));
    const NoteMatrix* notes = session_.source->notes();
    if (notes != nullptr && notes->missing() > 0) {
      progress_.finish(std::to_string(notes->missing()) + " of " +
                       std::to_string(notes->records()) +
                       " records have no note: zero vectors stand for them");
    }
    for (const std::string& remark : training_.remarks) progress_.finish(remark);
    folder_.log({{"event", "start"},
                 {"model", config_.model.name},
                 {"inputs", config_.data.inputs},
                 {"parameters", session_.model->parameter_count()},
                 {"device", session_.backend->name()},
                 {"train_records", training_.examples.size()},
                 {"train_copies", training_.examples.size() - training_.originals.size()},
                 {"augmentation", augmentation},
                 {"balancing", training_.remarks},
                 {"pos_weight", state_.pos_weight},
                 {"valid_records", valid_.size()},
                 {"test_records", test_.size()},
                 {"dropped_records", session_.source->dropped()},
                 {"records_without_note", notes != nullptr ? notes->missing() : 0}});
  }

  // PyTorch's advice for BCEWithLogitsLoss: negatives / positives of the training folds.
  std::vector<float> balanced_weights() const {
    const auto classes = static_cast<std::size_t>(session_.source->classes());
    std::vector<double> positives(classes, 0.0);
    for (std::int32_t example : training_.examples) {
      const std::span<const float> row = session_.source->targets(example);
      for (std::size_t c = 0; c < classes; ++c) positives[c] += double{row[c]};
    }
    std::vector<float> weights;
    for (double count : positives) {
      const double negatives = static_cast<double>(training_.examples.size()) - count;
      weights.push_back(count > 0.0 ? static_cast<float>(negatives / count) : 1.0F);
    }
    return weights;
  }

  void train_epoch(std::int64_t epoch) {
    session_.model->train();
    progress_.begin("epoch " + std::to_string(epoch) + "/" + std::to_string(config_.train.epochs),
                    static_cast<std::int64_t>(training_.examples.size()));
    const Clock::time_point begun = Clock::now();
    const auto seed = static_cast<std::uint64_t>(config_.train.seed);
    training_.augmentation.spec.epoch = static_cast<std::uint32_t>(epoch);
    BatchLoader loader(*session_.source,
                       shuffled(training_.examples, seed, static_cast<std::uint32_t>(epoch)),
                       config_.train.batch_size, training_.augmentation);
    double sum = 0.0;
    std::int64_t done = 0;
    for (Batch batch; loader.next(batch);) {
      const double loss = step(batch, epoch);
      sum += loss * static_cast<double>(batch.size);
      done += batch.size;
      progress_.update(done, format("loss %.4f", loss));
    }
    train_loss_ = sum / static_cast<double>(done);
    train_seconds_ = std::chrono::duration<double>(Clock::now() - begun).count();
  }

  double step(const Batch& batch, std::int64_t epoch) {
    const RandomScope random(static_cast<std::uint64_t>(config_.train.seed),
                             static_cast<std::uint32_t>(epoch), batch.records);
    parameters_.zero_grad();
    const Tensor logits = session_.model->forward({batch.signal, batch.notes});
    const Tensor loss = bce_with_logits(logits, batch.targets, pos_weight_);
    loss.backward();
    optimizer_.step(config_.train.clip_norm);
    ++state_.step;
    const double value = loss.item();
    if (!std::isfinite(value)) stop_diverged(batch, epoch, value);
    curves_.train_step.push_back(static_cast<double>(state_.step));
    curves_.train_loss.push_back(value);
    if (state_.step % config_.run.log_every == 0) {
      folder_.log({{"event", "step"}, {"step", state_.step}, {"epoch", epoch}, {"loss", value}});
    }
    return value;
  }

  std::string diverged(const char* what, std::int64_t epoch, double value) const {
    return std::string("the ") + what + " became " + (std::isnan(value) ? "nan" : "infinite") +
           " at step " + std::to_string(state_.step) + " (epoch " + std::to_string(epoch) +
           "): lower train.lr or set train.clip_norm";
  }

  [[noreturn]] void stop_diverged(const Batch& batch, std::int64_t epoch, double value) const {
    std::string ids;
    for (std::int32_t key : batch.records.to_vector<std::int32_t>()) {
      const auto record = static_cast<std::size_t>(key % session_.dataset->records());
      ids += (ids.empty() ? "" : " ") + std::to_string(session_.dataset->ecg_id()[record]);
    }
    throw Error(diverged("loss", epoch, value) + "; the batch's ecg_ids were " + ids);
  }

  void validate(std::int64_t epoch) {
    const Outcome outcome =
        run_model(session_, valid_, config_.train.batch_size, pos_weight_, progress_, "validation");
    if (!std::isfinite(outcome.loss)) {
      throw Error(diverged("validation loss", epoch, outcome.loss));
    }
    const Metrics metrics = evaluate(outcome.predictions(session_.task));
    state_.epoch = epoch;
    state_.valid_loss = outcome.loss;
    state_.valid_auroc = metrics.macro_auroc.value_or(std::nan(""));
    const bool by_loss = config_.train.select == "valid_loss";
    const double score = by_loss ? -outcome.loss : metrics.macro_auroc.value_or(-1.0);
    const bool best = score > best_score_;
    const std::string config = to_toml(config_);
    save_checkpoint(folder_.path() / "last", *session_.model, &optimizer_, state_, config);
    if (best) {
      best_score_ = score;
      best_epoch_ = epoch;
      save_checkpoint(folder_.path() / "best", *session_.model, &optimizer_, state_, config);
    }
    curves_.validation_step.push_back(static_cast<double>(state_.step));
    curves_.validation_loss.push_back(outcome.loss);
    curves_.validation_auroc.push_back(state_.valid_auroc);
    const double rate = static_cast<double>(training_.examples.size()) / train_seconds_;
    json auroc = metrics.macro_auroc ? json(*metrics.macro_auroc) : json();
    folder_.log({{"event", "epoch"},
                 {"epoch", epoch},
                 {"step", state_.step},
                 {"train_loss", train_loss_},
                 {"valid_loss", outcome.loss},
                 {"valid_macro_auroc", std::move(auroc)},
                 {"records_per_second", rate},
                 {"best", best}});
    progress_.finish("epoch " + std::to_string(epoch) + "/" + std::to_string(config_.train.epochs) +
                     format("  train loss %.4f  valid loss %.4f", train_loss_, outcome.loss) +
                     format("  valid AUROC %.4f  %.0f records/s", state_.valid_auroc, rate) +
                     (best ? "  best" : ""));
  }

  FitResult test() {
    if (best_epoch_ != state_.epoch) {
      load_model(folder_.path() / "best", *session_.model, session_.backend);
    }
    const Outcome outcome =
        run_model(session_, test_, config_.train.batch_size, pos_weight_, progress_, "test");
    const Metrics metrics = evaluate_with_intervals(outcome.predictions(session_.task));
    write_test_report(folder_.path(), config_, session_, outcome, metrics, best_epoch_);
    if (config_.run.plots) {
      for (const std::string& problem :
           draw_pictures(folder_.path(), config_, session_, outcome, metrics, curves_)) {
        progress_.finish(problem);
      }
    }
    nlohmann::json event = to_json(metrics);
    event["event"] = "test";
    event["epoch"] = best_epoch_;
    event["loss"] = outcome.loss;
    folder_.log(event);
    return {metrics, best_epoch_};
  }

  RunConfig config_;
  Session session_;
  TrainingSet training_;
  std::vector<std::int32_t> valid_, test_;
  RunFolder folder_;
  Progress progress_;
  FlatParameters parameters_;
  Optimizer optimizer_;
  Tensor pos_weight_;
  TrainingState state_;
  TrainingCurves curves_;
  double best_score_ = -std::numeric_limits<double>::infinity();
  std::int64_t best_epoch_ = 0;
  double train_loss_ = 0.0;
  double train_seconds_ = 0.0;
};

}  // namespace

FitResult fit(const RunConfig& config, bool quiet) {
  RunConfig resolved = config;
  // trainer eval may run from another folder.
  for (std::string* path : {&resolved.data.path, &resolved.data.notes, &resolved.train.init}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path).lexically_normal().string();
  }
  return Run(resolved, quiet).train();
}

}  // namespace cardiograd
