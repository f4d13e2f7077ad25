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

// What data.standardize asks for, of the originals; empty for "none" and where no signal is read.
Standardisation training_statistics(const Session& session, const TrainingSet& training,
                                    const RunConfig& config);

// What train.pos_weight asks for: of each class, negatives / positives of the examples, 1 where it
// has no positives (PyTorch's advice for BCEWithLogitsLoss); empty for "none".
std::vector<float> positive_weights(const Session& session, const TrainingSet& training,
                                    const RunConfig& config);

// The batches of the next optimizer step: train.accumulate of them, fewer at the end of the
// loader's order; false where nothing is left.
bool next_batches(BatchLoader& loader, std::int64_t accumulate, std::vector<Batch>& batches);

// The section augment, in samples at data.rate and with train.seed.
AugmentSpec augment_spec(const RunConfig& config);

// The augmentations that are on, such as "noise 0.01, mask 0.3"; empty for none.
std::string describe_augmentation(const RunConfig::Augment& augment);

}  // namespace cardiograd
