// A checkpoint: a folder with model.safetensors, optimizer.safetensors, state.json, config.toml
// and, of a model of hashed notes, notes.safetensors, written under a temporary name, synced, and
// exchanged with the old one in one step.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "nn/optimizer.h"
#include "nn/state_dict.h"
#include "trainer/training_state.h"

namespace cardiograd {

// What a checkpoint holds, in memory of its own: what is copied here may change before it is
// written. Copies of this share the tensors.
struct CheckpointContents {
  // optimizer may be null; with it, the parameters of a model in bf16 are copied in f32.
  CheckpointContents(const Module& of_model, const Optimizer* of_optimizer,
                     const TrainingState& at_state, std::string of_config);
  void copy_model(const Module& of_model, const Optimizer* of_optimizer);

  std::shared_ptr<const HostState> model;
  std::shared_ptr<const HostState> optimizer;  // null where there is none
  TrainingState state;
  std::string config;
};

// A checkpoint whose files may serve another one, too (as links): those of the optimizer, and,
// where that holds, of the model are the same.
struct CheckpointTwin {
  std::filesystem::path folder;
  bool same_model = false;
};

// `former`: where the checkpoint goes that `folder` held; empty: it is removed. Throws InputError
// where the folder cannot be written (disk full, read-only); a checkpoint that was there before is
// then untouched.
void save_checkpoint(const std::filesystem::path& folder, const CheckpointContents& contents,
                     const std::filesystem::path& former = {},
                     const std::optional<CheckpointTwin>& twin = {});

// Each throws InputError naming the file where a part is missing, broken or does not fit.
TrainingState read_training_state(const std::filesystem::path& folder);
void load_model(const std::filesystem::path& folder, Module& model,
                const std::shared_ptr<Backend>& backend);
// All that a run goes on from.
TrainingState load_checkpoint(const std::filesystem::path& folder, Module& model,
                              Optimizer& optimizer, const std::shared_ptr<Backend>& backend);

// Writing `folder` goes through these two names beside it: the new one while it is written, and, on
// a file system that cannot exchange two names, the old one before it is removed.
std::filesystem::path checkpoint_being_written(const std::filesystem::path& folder);
std::filesystem::path checkpoint_set_aside(const std::filesystem::path& folder);

}  // namespace cardiograd
