#include "trainer/fit.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "kernels/text.h"
#include "nn/atomic_file.h"
#include "trainer/bootstrap.h"
#include "trainer/environment.h"
#include "trainer/loss_fault.h"
#include "trainer/ranks.h"
#include "trainer/report.h"
#include "trainer/resume.h"
#include "trainer/run_checkpoints.h"
#include "trainer/run_examples.h"
#include "trainer/run_log.h"
#include "trainer/run_page.h"
#include "trainer/schedule.h"
#include "trainer/session.h"
#include "trainer/train_step.h"
#include "trainer/training_set.h"

namespace cardiograd {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Of all ranks.
std::int64_t count_of(const std::vector<Batch>& batches) {
  std::int64_t count = 0;
  for (const Batch& batch : batches) count += batch.whole;
  return count;
}

std::string format(const char* pattern, double a, double b = 0.0) {
  char text[96];
  std::snprintf(text, sizeof text, pattern, a, b);
  return text;
}

// What the caller asks of a run besides its config.
struct RunOptions {
  bool quiet = false;
  Start start = Start::anew;
  bool resumes = false;
  StepInsight insight;
};

// The session with the weights that training starts from.
Session open_initialised(const RunConfig& config, const Ranks& ranks, const RunOptions& options) {
  const ProfiledBackend opened = options.insight.profile
                                     ? profiled(ranks.backend())
                                     : ProfiledBackend{nullptr, ranks.backend()};
  Session session = open_session(config, opened.backend);
  session.profile = opened.profile;
  session.traces_memory = options.insight.memory;
  ranks.check_same(data_fingerprint(*session.dataset), "data set");
  if (!config.train.init.empty() && !options.resumes) {
    load_weights(session, config.train.init, config.train.init_except);
  }
  return session;
}

// One run, from its first batch, or from where it stopped, to the last checkpoint.
class Run {
 public:
  Run(const RunConfig& config, const Ranks& ranks, const RunOptions& options)
      : config_(config),
        ranks_(ranks),
        resumes_(options.resumes),
        exchange_(ranks),
        session_(open_initialised(config, ranks, options)),
        training_(open_training_set(session_, config)),
        valid_(examples_of(session_, config.data.valid_folds, "data.valid_folds")),
        test_(examples_of(session_, config.data.test_folds, "data.test_folds")),
        folder_(config.run.dir, options.start, ranks.is_first()),
        checkpoints_(folder_.path(), config.run, to_toml(config), ranks.is_first(),
                     [this] { folder_.sync_log(); }),
        progress_(options.quiet || !ranks.is_first()),
        step_(session_, config, ranks, exchange_,
              [this](const std::string& remark) { progress_.finish(remark); }),
        schedule_(config, steps_in_epoch(), config.train.epochs),
        log_(config_, folder_) {
    resumes_ ? restore() : begin(options.start);
    session_.source->set_standardisation(state_.standardisation);
    step_.set_loss(make_loss(session_, config, state_.pos_weight));
    if (ranks.is_first()) write_file(folder_.path() / "config.toml", to_toml(config));
  }

  FitResult train() {
    if (!resumes_) announce();
    if (!resumes_ && config_.train.on_nan == "rollback") save();
    while (!is_trained(config_, state_)) {
      try {
        train_epoch();
        finish_epoch();
      } catch (const LossFault& fault) {
        averaged_.reset();
        if (config_.train.on_nan != "rollback") throw;
        roll_back(fault);
      }
    }
    if (state_.epoch < config_.train.epochs) {
      progress_.finish("no better epoch since epoch " + std::to_string(state_.best.epoch) +
                       ": training ends early");
    }
    if (unsaved_) save();
    checkpoints_.finish();
    FitResult result = test();
    if (session_.profiling()) result.profile = session_.profile->report();
    if (session_.traces_memory) result.memory = step_.memory();
    return result;
  }

 private:
  // -- How a run begins.

  void begin(Start start) {
    if (start == Start::resume) {
      progress_.finish("no checkpoint in " + config_.run.dir + " yet: the run begins anew");
      folder_.cut_log(0);
    }
    log_.begin();
    state_.data = data_fingerprint(*session_.dataset);
    state_.train_examples = static_cast<std::int64_t>(training_.examples.size());
    state_.standardisation = training_statistics(session_, training_, config_);
    state_.pos_weight = positive_weights(session_, training_, config_);
    state_.seed = config_.train.seed;
    state_.ranks = ranks_.size();
    state_.task = session_.task.name;
    state_.classes = session_.task.classes;
    state_.model = session_.options;
    state_.denoise = session_.dataset->denoise();
    if (session_.source->notes() && config_.data.notes.empty()) {
      const std::span<const float> idf = session_.dataset->note_idf();
      state_.note_idf.assign(idf.begin(), idf.end());
    }
  }

  void restore() {
    const fs::path checkpoint = ranks_.from_first(
        [this] { return find_checkpoint(folder_.path())->string(); }, "the way to the checkpoint");
    for (const std::string& change : config_changes(checkpoint / "config.toml", config_)) {
      progress_.finish(change);
    }
    load(checkpoint);
    ranks_.check_same(to_json(state_).dump(1), "checkpoint");
    const std::string data = data_fingerprint(*session_.dataset);
    if (data != state_.data) {
      throw InputError(config_.data.path + " (" + data + ") is not what the run in " +
                       config_.run.dir + " was trained on (" + state_.data +
                       "): bring that back, or start a new run");
    }
    progress_.finish("resumed from " + checkpoint.string() + ": step " +
                     std::to_string(state_.step) + ", " + where_in_epoch() + other_ranks());
    state_.ranks = ranks_.size();
  }

  // The same data in the same order, but sums that are rounded otherwise.
  std::string other_ranks() const {
    if (state_.ranks == ranks_.size()) return "";
    return "; it ran in " + std::to_string(state_.ranks) + " processes and goes on in " +
           std::to_string(ranks_.size());
  }

  // Weights, optimizer, state and log as they were at a checkpoint.
  void load(const fs::path& checkpoint) {
    ranks_.meet("reading the checkpoint");
    state_ = load_checkpoint(checkpoint, *session_.model, step_.optimizer(), session_.backend);
    ranks_.meet("the end of reading the checkpoint");
    schedule_.set_progress(state_.schedule);
    folder_.cut_log(state_.log_bytes);
    log_.go_on(state_.step);
    unsaved_ = false;
  }

  void announce() {
    const std::string augmentation = describe_augmentation(config_.augment);
    progress_.finish(config_.model.name + " on " + join(config_.data.inputs, " and ") + ": " +
                     std::to_string(session_.model->parameter_count()) + " parameters, " +
                     config_.data.task + " (" + std::to_string(session_.task.classes.size()) +
                     " classes), " + std::to_string(training_.examples.size()) +
                     " records to train on, " + std::to_string(valid_.size()) + " to validate, " +
                     std::to_string(test_.size()) + " to test, " +
                     std::to_string(session_.source->dropped()) + " without a label, on " +
                     session_.backend->name() + (ranks_.alone() ? "" : ", " + ranks_.describe()) +
                     (augmentation.empty() ? "" : ", augmented: " + augmentation));
    const NoteMatrix* notes = session_.source->notes();
    if (notes != nullptr && notes->missing() > 0) {
      progress_.finish(std::to_string(notes->missing()) + " of " +
                       std::to_string(notes->records()) +
                       " records have no note: zero vectors stand for them");
    }
    for (const std::string& remark : training_.remarks) progress_.finish(remark);
    log_.event({{"event", "start"},
                {"model", config_.model.name},
                {"inputs", config_.data.inputs},
                {"parameters", session_.model->parameter_count()},
                {"device", session_.backend->name()},
                {"ranks", ranks_.size()},
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

  // -- An epoch.

  std::int64_t epoch() const { return state_.epoch + 1; }

  // The examples that are left of the epoch, in its order.
  std::vector<std::int32_t> rest_of_epoch() const {
    std::vector<std::int32_t> order =
        shuffled(training_.examples, static_cast<std::uint64_t>(config_.train.seed),
                 static_cast<std::uint32_t>(epoch()));
    order.erase(order.begin(), order.begin() + state_.progress.position);
    return order;
  }

  std::int64_t steps_in_epoch() const {
    const std::int64_t a_step = config_.train.batch_size * config_.train.accumulate;
    return (static_cast<std::int64_t>(training_.examples.size()) + a_step - 1) / a_step;
  }

  void train_epoch() {
    session_.model->train();
    progress_.begin("epoch " + std::to_string(epoch()) + "/" + std::to_string(config_.train.epochs),
                    state_.train_examples, state_.progress.position);
    training_.augmentation.spec.epoch = static_cast<std::uint32_t>(epoch());
    const std::vector<std::int32_t> order = rest_of_epoch();
    std::span<const std::int32_t> left(order);
    BatchLoader loader(*session_.source, order,
                       shares_of_batches(static_cast<std::int64_t>(order.size()),
                                         config_.train.batch_size, ranks_.rank(), ranks_.size()),
                       training_.augmentation, 2, step_.gather_time());
    Clock::time_point begun = Clock::now();
    for (std::vector<Batch> batches; next_batches(loader, config_.train.accumulate, batches);) {
      state_.progress.waited += seconds_since(begun);
      heed_signals();
      const Schedule::Point rate = next_rate();
      step_.set_rate(rate);
      begin_step(batches);
      const auto examples = static_cast<std::size_t>(count_of(batches));
      begun_steps_.push_back({left.first(examples), rate.lr});
      left = left.subspan(examples);
      unsaved_ = true;
      const auto begun_so_far = static_cast<std::int64_t>(begun_steps_.size());
      const bool due = checkpoints_.due_after(state_.step + begun_so_far);
      const bool taken = finish_steps(due ? 0 : step_.ahead());
      const double seconds = seconds_since(begun);
      state_.progress.seconds += seconds;
      state_.seconds += seconds;
      if (due && taken) save();
      begun = Clock::now();
    }
    finish_steps();
  }

  // Steps whose losses have not been read yet: all but `most` of them, the oldest first. False
  // where the last one's loss was not finite.
  bool finish_steps(std::size_t most = 0) {
    bool taken = true;
    while (begun_steps_.size() > most) {
      const BegunStep step = std::move(begun_steps_.front());
      begun_steps_.pop_front();
      const double loss = step_.finish();
      const auto examples = static_cast<std::int64_t>(step.examples.size());
      state_.progress.position += examples;
      taken = std::isfinite(loss);
      taken ? take_step(examples, loss, step.lr) : refuse_step(step.examples, loss);
    }
    return taken;
  }

  void begin_step(std::span<const Batch> batches) {
    if (!session_.profiling()) return step_.begin(batches, epoch());
    session_.profile->begin_step();
    step_.begin(batches, epoch());  // is not replayed, and so done when this returns
    session_.profile->end_step();
  }

  Schedule::Point next_rate() const {
    Schedule::Point point =
        schedule_.at(state_.step + static_cast<std::int64_t>(begun_steps_.size()) + 1);
    point.lr *= state_.faults.lr_factor;
    return point;
  }

  void take_step(std::int64_t examples, double loss, double lr) {
    ++state_.step;
    state_.faults.skipped_in_row = 0;
    state_.progress.loss_sum += loss * static_cast<double>(examples);
    state_.progress.trained += examples;
    progress_.update(state_.progress.position, format("loss %.4f  lr %.2g", loss, lr));
    if (state_.step % config_.run.log_every == 0) log_.step({state_.step, epoch(), loss, lr});
  }

  void refuse_step(std::span<const std::int32_t> examples, double loss) {
    std::vector<std::int32_t> ecg_ids;
    for (std::int32_t record : session_.source->records_of(examples)) {
      ecg_ids.push_back(session_.dataset->ecg_id()[static_cast<std::size_t>(record)]);
    }
    if (config_.train.on_nan != "skip") {
      throw LossFault("loss", loss, state_.step + 1, epoch(), std::move(ecg_ids));
    }
    ++state_.faults.skipped;
    if (++state_.faults.skipped_in_row == most_skipped_in_row) {
      throw LossFault("loss", loss, state_.step + 1, epoch(), std::move(ecg_ids),
                      " in " + std::to_string(most_skipped_in_row) + " batches in a row");
    }
    progress_.finish("a batch is skipped: its loss became " + name_of_loss(loss) + " at step " +
                     std::to_string(state_.step + 1));
    log_.event({{"event", "skip"},
                {"step", state_.step + 1},
                {"epoch", epoch()},
                {"loss", name_of_loss(loss)},
                {"ecg_ids", ecg_ids}});
  }

  // Validates, decides whether this is the best epoch, logs and saves.
  void finish_epoch() {
    averaged_.emplace(step_.optimizer());
    ranks_.broadcast(session_.model->buffers(), "the broadcast of the running statistics");
    const Outcome outcome = evaluate_on(valid_, "validation");
    if (!std::isfinite(outcome.loss)) {
      throw LossFault("validation loss", outcome.loss, state_.step, epoch(), {});
    }
    const Metrics metrics = evaluate(outcome.predictions(session_.task));
    const TrainingState::Progress done = state_.progress;
    ++state_.epoch;
    state_.progress = {};
    state_.valid_loss = outcome.loss;
    state_.valid_auroc = metrics.macro_auroc.value_or(std::nan(""));
    const bool by_loss = config_.train.select == "valid_loss";
    const double score = by_loss ? -outcome.loss : metrics.macro_auroc.value_or(-1.0);
    const bool best = score > state_.best.score;
    if (best) state_.best = {state_.epoch, score};
    schedule_.observe(score);
    state_.schedule = schedule_.progress();
    report_epoch(done, best);
    unsaved_ = true;
    if (best) keep_best();
    averaged_.reset();
    if (checkpoints_.due_after_epoch(state_.epoch)) save();
  }

  void report_epoch(const TrainingState::Progress& done, bool best) {
    EpochReport report{.epoch = state_.epoch, .epochs = config_.train.epochs, .step = state_.step};
    report.train_loss = done.loss_sum / static_cast<double>(done.trained);
    report.valid_loss = state_.valid_loss;
    report.valid_auroc = state_.valid_auroc;
    report.records_per_second = static_cast<double>(done.position) / done.seconds;
    report.data_wait = done.waited / done.seconds;
    report.save_seconds = std::exchange(save_seconds_, 0.0);
    ++epochs_here_;
    report.seconds_left = seconds_since(begun_) / static_cast<double>(epochs_here_) *
                          static_cast<double>(config_.train.epochs - state_.epoch);
    report.best = best;
    progress_.finish(log_.epoch(report));
  }

  Outcome evaluate_on(const std::vector<std::int32_t>& examples, const char* title) {
    return run_model(session_, ranks_, examples, config_.train.batch_size, step_.loss(), progress_,
                     title, [this, title] {
                       exchange_.share(std::string("a batch of the ") + title);
                       heed_signals();
                     });
  }

  // -- Checkpoints and interruptions.

  void keep_best() {
    const Clock::time_point begun = Clock::now();
    state_.log_bytes = folder_.log_bytes();
    checkpoints_.keep_best(*session_.model, step_.optimizer(), state_);
    save_seconds_ += seconds_since(begun);
  }

  void save() {
    const Clock::time_point begun = Clock::now();
    // A run goes on from its own weights, also where a signal asks for them in a validation.
    const bool averaged = averaged_.has_value();
    averaged_.reset();
    state_.log_bytes = folder_.log_bytes();
    checkpoints_.save_last(*session_.model, step_.optimizer(), state_);
    if (averaged) averaged_.emplace(step_.optimizer());
    unsaved_ = false;
    save_seconds_ += seconds_since(begun);
  }

  void heed_signals() {
    if (checkpoints_.due_now()) exchange_.ask_for_checkpoint();
    if (ranks_.alone()) exchange_.share("a signal");
    const int stop = exchange_.stop_signal();
    const bool wanted = exchange_.take_save_request();
    const bool due = exchange_.take_checkpoint_request();
    if (stop == 0 && !wanted && !due) return;
    finish_steps();
    if (unsaved_) save();
    if (stop == 0 && !wanted) return;
    checkpoints_.finish();
    const std::string saved = "a checkpoint of step " + std::to_string(state_.step) + " (" +
                              where_in_epoch() + ") is in " + checkpoints_.last().string();
    if (stop == 0) {
      progress_.finish(saved);
      return;
    }
    ranks_.meet("saving the checkpoint");
    throw Interrupted(std::string("stopped by ") + (stop == SIGTERM ? "SIGTERM" : "SIGINT") + ": " +
                      saved + "; go on with the same command and --resume (trainer fit ... " +
                      "--resume)");
  }

  std::string where_in_epoch() const {
    if (state_.progress.position == 0) return "after epoch " + std::to_string(state_.epoch);
    return "epoch " + std::to_string(epoch()) + ", " + std::to_string(state_.progress.position) +
           " of " + std::to_string(state_.train_examples) + " examples";
  }

  // Back to the last checkpoint, to go on at half the learning rate.
  void roll_back(const LossFault& fault) {
    if (state_.faults.rollbacks == most_rollbacks) throw;
    checkpoints_.finish();
    checkpoints_.forget_best();
    load(checkpoints_.last());
    ++state_.faults.rollbacks;
    state_.faults.lr_factor /= 2.0;
    const std::string lr = shortest_number(config_.train.lr * state_.faults.lr_factor);
    progress_.finish("the loss became " + name_of_loss(fault.value()) + " at step " +
                     std::to_string(fault.step()) + ": back to step " +
                     std::to_string(state_.step) + ", with a learning rate of " + lr);
    log_.event({{"event", "rollback"},
                {"step", fault.step()},
                {"epoch", fault.epoch()},
                {"loss", name_of_loss(fault.value())},
                {"ecg_ids", fault.ecg_ids()},
                {"to_step", state_.step},
                {"lr", config_.train.lr * state_.faults.lr_factor}});
    save();  // or the next way back would forget this one
  }

  // -- The end.

  FitResult test() {
    const std::int64_t best_epoch = state_.best.epoch;
    if (best_epoch != state_.epoch || config_.train.ema > 0.0) {
      ranks_.meet("reading the best model");
      load_model(checkpoints_.best(), *session_.model, session_.backend);
    }
    const Outcome outcome = evaluate_on(test_, "test");
    ranks_.leave_to_first();
    if (!ranks_.is_first()) return {evaluate(outcome.predictions(session_.task)), best_epoch};
    const Metrics metrics = evaluate_with_intervals(outcome.predictions(session_.task));
    write_test_report(folder_.path(), config_, session_, outcome, metrics, best_epoch);
    RunPage page{.config = config_,
                 .metrics = metrics,
                 .epoch = best_epoch,
                 .parameters = session_.model->parameter_count(),
                 .seconds = state_.seconds,
                 .facts = describe_environment(*session_.backend)};
    if (config_.run.plots) draw(page, outcome);
    write_run_page(folder_.path(), page);
    log_.test(metrics, outcome.loss, best_epoch, state_.step);
    return {metrics, best_epoch};
  }

  // A run does not fail for its pictures.
  void draw(RunPage& page, const Outcome& outcome) {
    page.remarks =
        draw_pictures(folder_.path(), config_, session_, outcome, page.metrics, log_.curves());
    if (page.remarks.empty()) {
      page.examples = draw_examples(folder_.path(), session_, test_, outcome);
    }
    for (const std::string& problem : page.remarks) progress_.finish(problem);
  }

  // A step whose loss has not been read.
  struct BegunStep {
    std::span<const std::int32_t> examples;
    double lr = 0.0;
  };

  RunConfig config_;
  const Ranks& ranks_;
  bool resumes_;
  RankExchange exchange_;
  Session session_;
  TrainingSet training_;
  std::vector<std::int32_t> valid_, test_;
  RunFolder folder_;
  RunCheckpoints checkpoints_;
  Progress progress_;
  TrainStep step_;
  std::deque<BegunStep> begun_steps_;
  TrainingState state_;
  Schedule schedule_;
  RunLog log_;
  std::optional<AveragedWeights> averaged_;  // while an epoch is validated
  Clock::time_point begun_ = Clock::now();
  std::int64_t epochs_here_ = 0;  // finished by this process
  double save_seconds_ = 0.0;     // since the last epoch's report
  bool unsaved_ = true;           // something happened since the last checkpoint
};

constexpr const char *new_run = "new", *begun_run = "begun", *finished_run = "finished";

// Throws InputError where the config's changes do not allow to go on.
std::string what_to_resume(const RunConfig& config) {
  const std::optional<fs::path> checkpoint = find_checkpoint(config.run.dir);
  if (!checkpoint) return new_run;
  config_changes(*checkpoint / "config.toml", config);
  return is_finished(config, *checkpoint) ? finished_run : begun_run;
}

}  // namespace

FitResult fit(const RunConfig& config, bool quiet, Start start, const Launch& launch,
              const StepInsight& insight) {
  if (insight.memory && !launch.alone()) {
    throw InputError("--memory tells what one process holds: start trainer without " +
                     name_of(launch.launcher));
  }
  return fit(config, Ranks(launch, config), quiet, start, insight);
}

FitResult fit(const RunConfig& config, const Ranks& ranks, bool quiet, Start start,
              const StepInsight& insight) {
  RunConfig resolved = config;
  // trainer eval may run from another folder.
  for (std::string* path : {&resolved.data.path, &resolved.data.notes, &resolved.train.init}) {
    if (!path->empty()) *path = fs::absolute(*path).lexically_normal().string();
  }
  bool resumes = false;
  if (start == Start::resume) {
    // Before the data are opened, which may be gone, or of another rate.
    const std::string found =
        ranks.from_first([&] { return what_to_resume(resolved); }, "looking for a checkpoint");
    if (found == finished_run) return {{}, 0, true};
    resumes = found == begun_run;
  }
  return Run(resolved, ranks, {quiet, start, resumes, insight}).train();
}

}  // namespace cardiograd
