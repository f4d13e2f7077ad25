#include "trainer/find_lr.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"
#include "kernels/text.h"
#include "trainer/gan.h"
#include "trainer/ranks.h"
#include "trainer/session.h"
#include "trainer/train_step.h"
#include "trainer/training_set.h"

namespace cardiograd {

namespace {

constexpr double divergence = 4.0;  // times the lowest loss: fastai's criterion
constexpr std::int64_t least_steps = 40, most_steps = 100'000;
constexpr std::size_t least_points = 10;  // to read a suggestion off

constexpr std::int64_t share = 20;  // of the steps: what smooths, and what a slope is read off

// Of the least-squares line through the values up to `reach` steps before and behind one. A step is
// always the same ratio of learning rates, so that this orders slopes over log lr.
double slope_at(const std::vector<double>& values, std::size_t at, std::size_t reach) {
  const std::size_t begin = at - std::min(at, reach);
  const std::size_t end = std::min(at + reach + 1, values.size());
  const double centre = static_cast<double>(begin + end - 1) / 2.0;
  double product = 0.0, square = 0.0;
  for (std::size_t i = begin; i < end; ++i) {
    const double distance = static_cast<double>(i) - centre;
    product += distance * values[i];
    square += distance * distance;
  }
  return product / square;
}

}  // namespace

void check_find_lr(const FindLrOptions& options) {
  if (!(std::isfinite(options.from) && options.from > 0.0)) {
    throw InputError("--from must be a positive learning rate, not " +
                     shortest_number(options.from));
  }
  if (!(std::isfinite(options.to) && options.to > options.from)) {
    throw InputError("--to must be a learning rate above --from " + shortest_number(options.from) +
                     ", not " + shortest_number(options.to));
  }
  if (options.steps < least_steps || options.steps > most_steps) {
    throw InputError("--steps must be " + std::to_string(least_steps) + " to " +
                     std::to_string(most_steps) + ", not " + std::to_string(options.steps));
  }
}

LrCurve::LrCurve(const FindLrOptions& options)
    : options_(options),
      decay_(1.0 - static_cast<double>(share) / static_cast<double>(options.steps)) {
  check_find_lr(options);
}

double LrCurve::next_lr() const {
  const double position = static_cast<double>(lr_.size()) / static_cast<double>(options_.steps - 1);
  return options_.from * std::pow(options_.to / options_.from, position);
}

bool LrCurve::add(double loss) {
  if (!std::isfinite(loss)) {
    end_ = End::not_finite;
    return false;
  }
  lr_.push_back(next_lr());
  loss_.push_back(loss);
  average_ = decay_ * average_ + (1.0 - decay_) * loss;
  weight_ *= decay_;
  smoothed_.push_back(average_ / (1.0 - weight_));
  if (smoothed_.back() > divergence * *std::min_element(smoothed_.begin(), smoothed_.end())) {
    end_ = End::diverged;
    return false;
  }
  return static_cast<std::int64_t>(lr_.size()) < options_.steps;
}

double LrSuggestion::careful() const { return steepest ? std::min(*steepest, tenth()) : tenth(); }

LrSuggestion suggest_lr(const LrCurve& curve) {
  const std::vector<double>&lr = curve.lr(), &loss = curve.smoothed();
  if (lr.size() < least_points) {
    throw InputError(
        "the loss " +
        std::string(curve.end() == LrCurve::End::not_finite ? "was no number" : "diverged") +
        " after " + std::to_string(lr.size()) +
        " steps, too few to find a learning rate: set a smaller --from");
  }
  // The average of the first steps is of few losses, and so is noise. Slopes are those of lines
  // through some steps, for the same reason.
  const std::size_t first = std::max<std::size_t>(lr.size() / 10, 1);
  const auto lowest = static_cast<std::size_t>(
      std::min_element(loss.begin() + static_cast<std::ptrdiff_t>(first), loss.end()) -
      loss.begin());
  LrSuggestion suggestion{.lowest = lr[lowest], .lowest_loss = loss[lowest]};
  const auto reach = std::max<std::size_t>(static_cast<std::size_t>(curve.planned() / share), 1);
  double steepest = 0.0;
  for (std::size_t i = first; i < lowest; ++i) {
    const double slope = slope_at(loss, i, reach);
    if (slope >= steepest) continue;
    steepest = slope;
    suggestion.steepest = lr[i];
  }
  return suggestion;
}

LrCurve find_lr(const RunConfig& config, const FindLrOptions& options, bool quiet) {
  LrCurve curve(options);
  if (is_gan(config)) {
    throw InputError(
        "model \"dcgan\" has no loss whose fall could be followed: set train.lr by hand");
  }
  const Ranks ranks({}, config);
  RankExchange exchange(ranks);
  Session session = open_session(config, ranks.backend());
  if (!config.train.init.empty()) {
    load_weights(session, config.train.init, config.train.init_except);
  }
  TrainingSet training = open_training_set(session, config);
  session.source->set_standardisation(training_statistics(session, training, config));
  Progress progress(quiet);
  TrainStep step(session, config, ranks, exchange,
                 [&](const std::string& remark) { progress.finish(remark); });
  step.set_loss(make_loss(session, config, positive_weights(session, training, config)));
  session.model->train();
  progress.begin("learning-rate test", options.steps);
  for (std::uint32_t epoch = 1;; ++epoch) {
    training.augmentation.spec.epoch = epoch;
    BatchLoader loader(
        *session.source,
        shuffled(training.examples, static_cast<std::uint64_t>(config.train.seed), epoch),
        config.train.batch_size, training.augmentation);
    for (std::vector<Batch> batches; next_batches(loader, config.train.accumulate, batches);) {
      exchange.share("a signal");
      if (exchange.stop_signal() != 0) throw Error("stopped by a signal: the test is not finished");
      const double lr = curve.next_lr();
      step.set_rate({.lr = lr});
      step.begin(batches, epoch);
      const bool goes_on = curve.add(step.finish());
      progress.update(static_cast<std::int64_t>(curve.lr().size()), "lr " + shortest_number(lr));
      if (!goes_on) return curve;
    }
  }
}

}  // namespace cardiograd
