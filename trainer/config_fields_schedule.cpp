// The keys of the section schedule: how the learning rate changes over a run (trainer/schedule.h).
#include "trainer/config_fields.h"

namespace cardiograd {

std::vector<ConfigField> schedule_fields() {
  constexpr double unlimited = std::numeric_limits<double>::infinity();
  using C = RunConfig;
  using Slot = ConfigSlot;
  return {
      {"schedule.name",
       "of the learning rate; fastai: one_cycle with the defaults of its fit_one_cycle",
       [](C& c) -> Slot { return &c.schedule.name; },
       {"constant", "step", "cosine", "plateau", "one_cycle", "fastai"}},
      {"schedule.warmup_epochs",
       "epochs (or a part of one) in which the learning rate grows to train.lr",
       [](C& c) -> Slot { return &c.schedule.warmup_epochs; },
       {},
       0,
       1e6},
      {"schedule.min_lr",
       "cosine, plateau: where the learning rate ends",
       [](C& c) -> Slot { return &c.schedule.min_lr; },
       {},
       0,
       unlimited},
      {"schedule.step_epochs",
       "step: epochs between two reductions",
       [](C& c) -> Slot { return &c.schedule.step_epochs; },
       {},
       1,
       1e6},
      {"schedule.factor",
       "step, plateau: of one reduction",
       [](C& c) -> Slot { return &c.schedule.factor; },
       {},
       0,
       1},
      {"schedule.patience",
       "plateau: epochs without improvement that are let pass",
       [](C& c) -> Slot { return &c.schedule.patience; },
       {},
       0,
       1e6},
  };
}

}  // namespace cardiograd
