// How the learning rate, and with one_cycle the momentum, changes over a run.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "trainer/config.h"

namespace cardiograd {

class Schedule {
 public:
  // `steps_per_epoch` optimizer steps, `epochs` of them. Names of config.schedule.name:
  //   constant
  //   step       lr times `factor` after every `step_epochs` epochs (StepLR)
  //   cosine     from lr down to min_lr along half a cosine over the steps that follow the warm-up
  //              (Loshchilov & Hutter 2017, equation 5, without restarts; CosineAnnealingLR)
  //   plateau    lr times `factor`, not below min_lr, where the selection metric of an epoch has
  //              not improved for more than `patience` epochs (ReduceLROnPlateau)
  //   one_cycle  up to lr and down again (Smith & Topin 2018), OneCycleLR's defaults: from lr / 25
  //              to lr in the first 30 % of the steps, to lr / 250,000 in the others, along
  //              cosines; momentum (beta1) 0.95 to 0.85 to 0.95
  //   fastai     the same with fit_one_cycle's defaults: 25 % of the steps, ending at lr / 100,000
  // Before the first four, the learning rate grows in a straight line over `warmup_epochs` (which
  // may be a fraction), from lr / n in the first of the n steps.
  Schedule(const RunConfig& config, std::int64_t steps_per_epoch, std::int64_t epochs);

  struct Point {
    double lr = 0.0;
    std::optional<double> momentum{};  // momentum, or Adam's beta1, where the schedule drives it
  };
  // For the optimizer step with this number, from 1; beyond the last one, the last one's.
  Point at(std::int64_t step) const;

  // What plateau goes by after an epoch: higher is better. Other schedules pass over it.
  void observe(double score);
  // What observe() has led to: kept in a checkpoint, so that a resumed run has the same.
  struct Progress {
    double best = -std::numeric_limits<double>::infinity();
    std::int64_t bad_epochs = 0;
    std::int64_t reductions = 0;
    bool operator==(const Progress&) const = default;
  };
  const Progress& progress() const { return progress_; }
  void set_progress(const Progress& progress) { progress_ = progress; }

 private:
  Point cycle(double position) const;

  RunConfig::Schedule options_;
  double lr_;
  std::int64_t steps_per_epoch_;
  std::int64_t steps_;
  std::int64_t warmup_steps_;
  Progress progress_;
};

}  // namespace cardiograd
