#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cardiograd {
namespace {

// From `begin` at 0 to `end` at 1 along half a cosine.
double along_cosine(double begin, double end, double position) {
  return end + (begin - end) * (1.0 + std::cos(std::numbers::pi * position)) / 2.0;
}

struct Cycle {
  double rise;   // the share of the steps in which the learning rate grows
  double start;  // lr over the first learning rate
  double end;    // lr over the last one
};
constexpr Cycle torch_cycle{0.3, 25.0, 25.0 * 1e4};
constexpr Cycle fastai_cycle{0.25, 25.0, 1e5};
constexpr double high_momentum = 0.95, low_momentum = 0.85;

}  // namespace

Schedule::Schedule(const RunConfig& config, std::int64_t steps_per_epoch, std::int64_t epochs)
    : options_(config.schedule),
      lr_(config.train.lr),
      steps_per_epoch_(steps_per_epoch),
      steps_(steps_per_epoch * epochs),
      warmup_steps_(
          std::llround(config.schedule.warmup_epochs * static_cast<double>(steps_per_epoch))) {}

Schedule::Point Schedule::at(std::int64_t step) const {
  const std::int64_t done =
      std::clamp<std::int64_t>(step, 1, std::max<std::int64_t>(steps_, 1)) - 1;
  if (options_.name == "one_cycle" || options_.name == "fastai") {
    return cycle(steps_ > 1 ? static_cast<double>(done) / static_cast<double>(steps_ - 1) : 0.0);
  }
  if (done < warmup_steps_) {
    return {lr_ * static_cast<double>(done + 1) / static_cast<double>(warmup_steps_)};
  }
  if (options_.name == "step") {
    const std::int64_t drops = done / steps_per_epoch_ / options_.step_epochs;
    return {lr_ * std::pow(options_.factor, static_cast<double>(drops))};
  }
  if (options_.name == "cosine") {
    const auto rest = static_cast<double>(std::max<std::int64_t>(steps_ - warmup_steps_, 1));
    return {along_cosine(lr_, options_.min_lr, static_cast<double>(done - warmup_steps_) / rest)};
  }
  if (options_.name == "plateau") {
    const double reduced =
        lr_ * std::pow(options_.factor, static_cast<double>(progress_.reductions));
    return {std::max(reduced, std::min(options_.min_lr, lr_))};
  }
  return {lr_};
}

Schedule::Point Schedule::cycle(double position) const {
  const Cycle& shape = options_.name == "fastai" ? fastai_cycle : torch_cycle;
  // PyTorch's first phase ends one step before its share of all steps, as its second one does.
  const auto steps = static_cast<double>(steps_);
  const double rise = steps_ > 1 ? std::max((shape.rise * steps - 1.0) / (steps - 1.0), 1e-9) : 1.0;
  if (position <= rise) {
    const double part = position / rise;
    return {along_cosine(lr_ / shape.start, lr_, part),
            along_cosine(high_momentum, low_momentum, part)};
  }
  const double part = (position - rise) / (1.0 - rise);
  return {along_cosine(lr_, lr_ / shape.end, part),
          along_cosine(low_momentum, high_momentum, part)};
}

void Schedule::observe(double score) {
  if (options_.name != "plateau") return;
  if (score > progress_.best) {
    progress_.best = score;
    progress_.bad_epochs = 0;
  } else if (++progress_.bad_epochs > options_.patience) {
    ++progress_.reductions;
    progress_.bad_epochs = 0;
  }
}

}  // namespace cardiograd
