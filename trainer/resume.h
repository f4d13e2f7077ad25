// May a run go on, and with which changes?
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config.h"
#include "trainer/training_state.h"

namespace cardiograd {

// Keys whose new value a resumed run takes: they leave what was computed so far as it is.
const std::vector<std::string>& changeable_keys();

// One sentence a changed key. Throws InputError with key, old and new value where any other key
// differs. `kept`: the config.toml of the checkpoint. run.dir, which names the run, may differ.
std::vector<std::string> config_changes(const std::filesystem::path& kept, const RunConfig& now);

// Whether training is over: all epochs are done, or train.early_stopping has seen enough.
bool is_trained(const RunConfig& config, const TrainingState& state);

// Whether the run has nothing left to do. Throws InputError where it has done more epochs than
// train.epochs.
bool is_finished(const RunConfig& config, const std::filesystem::path& checkpoint);

}  // namespace cardiograd
