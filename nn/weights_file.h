// Weights from any file that holds them: PyTorch's .pt, safetensors, or a checkpoint's folder.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "nn/state_dict.h"
#include "nn/torch_value.h"

namespace cardiograd {

// Where a PyTorch file keeps its weights: the dict under "model_state_dict", "state_dict" or
// "model", or the file's own dict where that has tensors. Null where there is none; `key` becomes
// the dict's name, empty for the file's own.
const TorchValue* find_state_dict(const TorchValue& file, std::string& key);

// The tensors of such a dict; "module." (of DataParallel) is taken off where all names have it.
// What is no tensor is left out. `name` begins the sentences.
StateDict to_state(const TorchValue& dict, const std::shared_ptr<Backend>& backend,
                   const std::string& name);

// The file that read_weights reads: `path` itself, or of a folder its model.safetensors or
// best/model.safetensors. Throws InputError where it does not exist.
std::filesystem::path find_weights(const std::filesystem::path& path);

// Told apart by content, not by name. Names and shapes are PyTorch's: hand the result to
// load_state_dict. Throws InputError where the file is broken or holds no weights.
StateDict read_weights(const std::filesystem::path& path, const std::shared_ptr<Backend>& backend);

}  // namespace cardiograd
