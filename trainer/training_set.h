// What a run trains on: the examples of the training folds, balanced, and how they are augmented.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/batches.h"
#include "trainer/config.h"
#include "trainer/session.h"

namespace cardiograd {

struct TrainingSet {
  std::vector<std::int32_t> originals;  // ascending, each once
  std::vector<std::int32_t> examples;   // those and their extra copies
  Augmentation augmentation;            // its epoch is the trainer's to set
  std::vector<std::string> remarks;     // how the set was balanced, a sentence each
};

// Throws InputError, naming the key, where a fold has no record or the task no such class.
TrainingSet open_training_set(const Session& session, const RunConfig& config);

// The section augment, in samples at data.rate and with train.seed.
AugmentSpec augment_spec(const RunConfig& config);

// The augmentations that are on, such as "noise 0.01, mask 0.3"; empty for none.
std::string describe_augmentation(const RunConfig::Augment& augment);

}  // namespace cardiograd
