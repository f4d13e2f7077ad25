// trainer fit for dcgan: two networks that learn against each other, instead of a classifier's
// loop.
#pragma once

#include <cstdint>

#include "trainer/config.h"

namespace cardiograd {

// True for the models that fit_gan trains and fit does not.
bool is_gan(const RunConfig& config);

struct GanResult {
  std::int64_t records = 0;     // of gan.class_name in the training folds
  double critic_loss = 0.0;     // mean of the last epoch
  double generator_loss = 0.0;  // likewise
};

// Trains on the training folds' records of gan.class_name alone, train.epochs times, with
// train.optimizer and train.lr for both networks (Adam: beta1 0.5, as Radford et al. 2016). Makes
// run.dir with config.toml, metrics.jsonl, generator.safetensors and critic.safetensors (PyTorch's
// names, rewritten after each epoch), generated.safetensors (signal f32 [gan.samples, length, 12]
// in mV; metadata: rate, class) and pictures. Throws InputError where the class is unknown or has
// no record, Error where a loss is no number.
GanResult fit_gan(const RunConfig& config, bool quiet = false);

}  // namespace cardiograd
