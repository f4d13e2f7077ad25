// What a run must remember besides its tensors to go on with the same bits: state.json of a
// checkpoint.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/batches.h"
#include "data/denoise.h"
#include "models/classifier.h"
#include "trainer/schedule.h"

namespace cardiograd {

// The format of state.json that this program writes. It reads older ones as well, but resumes from
// none that lacks the position in the epoch (version 1).
inline constexpr std::int64_t state_version = 3;

// A new field takes a line here and one in the list of training_state.cpp, which reads and writes.
struct TrainingState {
  std::int64_t version = state_version;
  std::int64_t epoch = 0;  // finished epochs
  std::int64_t step = 0;   // of the optimizer
  std::int64_t seed = 0;
  double valid_loss = 0.0;
  double valid_auroc = 0.0;  // NaN where no class had both kinds of label
  std::string task;
  std::vector<std::string> classes;  // in the order of the logits
  ModelOptions model;
  Standardisation standardisation;
  std::vector<float> pos_weight;       // of each class in the loss; empty: 1
  std::optional<DenoiseSpec> denoise;  // what the records went through before
  // Weights behind the hashed notes (NoteEmbedder), so that a text can be embedded without the
  // packed file; empty where the model read other notes or none. In notes.safetensors.
  std::vector<float> note_idf;

  // The epoch that is going on. The order of its examples, the augmentation and dropout follow from
  // seed, epoch and record, so that the position is all there is to the sampler.
  struct Progress {
    std::int64_t position = 0;  // examples handed out, those of skipped batches included
    std::int64_t trained = 0;   // examples behind loss_sum
    double loss_sum = 0.0;      // of the examples' losses
    double seconds = 0.0;       // spent training
    double waited = 0.0;        // of them, waiting for batches
  } progress;
  struct Best {
    std::int64_t epoch = 0;  // 0: none yet
    double score = -std::numeric_limits<double>::infinity();
  } best;
  Schedule::Progress schedule;
  // What losses that were no number led to (train.on_nan).
  struct Faults {
    std::int64_t skipped = 0;         // batches, in the whole run
    std::int64_t skipped_in_row = 0;  // batches, since the last step
    std::int64_t rollbacks = 0;
    double lr_factor = 1.0;  // on every learning rate
  } faults;
  double seconds = 0.0;             // spent training, in the whole run
  std::int64_t ranks = 1;           // processes that trained when the checkpoint was saved
  std::int64_t train_examples = 0;  // in an epoch
  std::string data;                 // fingerprint of the packed file (data_fingerprint)
  std::int64_t log_bytes = 0;       // of metrics.jsonl when the checkpoint was saved
};

nlohmann::json to_json(const TrainingState& state);

// Throws InputError beginning with `where` for what is not such a state, or a newer version's.
// note_idf is left empty.
TrainingState training_state_from_json(const nlohmann::json& value, const std::string& where);

// What the data set is, apart from its signals: two packed files with the same records, folds and
// labels in the same order have the same.
std::string data_fingerprint(const PackedDataset& dataset);

}  // namespace cardiograd
