// The learning-rate range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks",
// section 3.3): train while the learning rate grows, and see where the loss falls fastest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config.h"

namespace cardiograd {

struct FindLrOptions {
  double from = 1e-7;
  double to = 10.0;
  std::int64_t steps = 100;
};

// Throws InputError, naming the option, where they make no test: 0 < from < to, both finite, 40 to
// 100,000 steps.
void check_find_lr(const FindLrOptions& options);

// Loss over learning rate, one point an optimizer step.
class LrCurve {
 public:
  enum class End : std::uint8_t {
    all_steps,   // went to the last learning rate
    diverged,    // the smoothed loss exceeded four times its lowest
    not_finite,  // a loss was NaN or infinite: no point is kept of it
  };

  explicit LrCurve(const FindLrOptions& options);

  // Of the next step: lr grows by the same factor from step to step.
  double next_lr() const;
  // The loss of that step. False where the test is over.
  bool add(double loss);

  End end() const { return end_; }
  std::int64_t planned() const { return options_.steps; }  // steps, had it not ended before
  const std::vector<double>& lr() const { return lr_; }
  const std::vector<double>& loss() const { return loss_; }
  // Exponential moving average with bias correction (Kingma & Ba 2015, section 3). Its memory is a
  // twentieth of the steps: the 0.98 that others use for any number would, over 100 steps,
  // look back through half of all learning rates and see the fall and the rise too late.
  const std::vector<double>& smoothed() const { return smoothed_; }

 private:
  FindLrOptions options_;
  double decay_;
  double average_ = 0.0;
  double weight_ = 1.0;  // decay to the power of the steps so far
  End end_ = End::all_steps;
  std::vector<double> lr_, loss_, smoothed_;
};

// Learning rates to train with, read off a curve.
struct LrSuggestion {
  double lowest = 0.0;               // where the smoothed loss is lowest
  double lowest_loss = 0.0;          // the smoothed loss there
  std::optional<double> steepest{};  // where it falls fastest over log lr, before the lowest;
                                     // absent where it never falls
  double tenth() const { return lowest / 10.0; }
  // The more careful of the two.
  double careful() const;
};

// Throws InputError where the curve is too short to say anything.
LrSuggestion suggest_lr(const LrCurve& curve);

// The test with the parts of trainer fit: data, augmentation, initial weights, optimizer and loss
// are the config's, its schedule is left aside. Epochs follow each other where the training folds
// are small. Writes nothing; run.dir is not needed. Throws InputError for dcgan. quiet: no
// progress.
LrCurve find_lr(const RunConfig& config, const FindLrOptions& options, bool quiet = false);

// Loss over learning rate (logarithmic) with what suggest_lr() found. As the pictures of plots.h.
void plot_lr(const std::filesystem::path& path, const std::string& title, const LrCurve& curve,
             const LrSuggestion& suggestion);

}  // namespace cardiograd
