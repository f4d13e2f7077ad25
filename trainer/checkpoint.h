// A checkpoint: a folder with model.safetensors, optimizer.safetensors, state.json, config.toml
// and, of a model of hashed notes, notes.safetensors, written under a temporary name, synced, and
// exchanged with the old one in one step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/batches.h"
#include "data/denoise.h"
#include "models/classifier.h"
#include "nn/optimizer.h"

namespace cardiograd {

// state.json and notes.safetensors.
struct TrainingState {
  std::int64_t epoch = 0;  // finished epochs
  std::int64_t step = 0;
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
};

// optimizer may be null. Throws InputError where the folder cannot be written (disk full,
// read-only); a checkpoint that was there before is then untouched.
void save_checkpoint(const std::filesystem::path& folder, const Module& model,
                     const Optimizer* optimizer, const TrainingState& state,
                     const std::string& config);

// Throws InputError naming the file where a part is missing, broken or does not fit.
TrainingState read_training_state(const std::filesystem::path& folder);
void load_model(const std::filesystem::path& folder, Module& model,
                const std::shared_ptr<Backend>& backend);

}  // namespace cardiograd
