#include "nn/weights_file.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "kernels/text.h"
#include "nn/input_file.h"
#include "nn/torch_file.h"

namespace cardiograd {

namespace {

constexpr std::array<std::string_view, 3> usual_keys{"model_state_dict", "state_dict", "model"};
constexpr std::string_view parallel_prefix = "module.";

bool has_tensors(const TorchValue& value) {
  if (!value.is(TorchKind::dict)) return false;
  return std::any_of(value.entries().begin(), value.entries().end(), [](const TorchEntry& entry) {
    return entry.key.is(TorchKind::string) && entry.value.is(TorchKind::tensor);
  });
}

void strip_parallel_prefix(StateDict& state) {
  const bool all = std::all_of(state.begin(), state.end(), [](const StateEntry& entry) {
    return entry.name.starts_with(parallel_prefix);
  });
  if (!all) return;
  for (StateEntry& entry : state) entry.name.erase(0, parallel_prefix.size());
}

}  // namespace

const TorchValue* find_state_dict(const TorchValue& file, std::string& key) {
  for (const std::string_view usual : usual_keys) {
    const TorchValue* found = file.find(usual);
    if (found == nullptr || !has_tensors(*found)) continue;
    key = usual;
    return found;
  }
  key.clear();
  return has_tensors(file) ? &file : nullptr;
}

StateDict to_state(const TorchValue& dict, const std::shared_ptr<Backend>& backend,
                   const std::string& name) {
  StateDict state;
  for (const TorchEntry& entry : dict.entries()) {
    if (!entry.key.is(TorchKind::string) || !entry.value.is(TorchKind::tensor)) continue;
    const std::string& key = entry.key.as_string();
    try {
      state.push_back({key, entry.value.as_tensor().to_tensor(backend)});
    } catch (const InputError& error) {
      throw InputError(name + ": tensor " + quote(key) + " cannot be taken: " + error.what());
    }
  }
  strip_parallel_prefix(state);
  return state;
}

std::filesystem::path find_weights(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) {
    throw InputError(
        path.string() +
        " does not exist; a .pt or .safetensors file or a checkpoint's folder is wanted");
  }
  if (!std::filesystem::is_directory(path)) return path;
  for (const auto& inside : {path / "model.safetensors", path / "best" / "model.safetensors"}) {
    if (std::filesystem::exists(inside)) return inside;
  }
  throw InputError(path.string() +
                   " has no model.safetensors: it is the folder of neither a checkpoint nor a run");
}

StateDict read_weights(const std::filesystem::path& path, const std::shared_ptr<Backend>& backend) {
  const std::filesystem::path file = find_weights(path);
  const MappedFile map(file);
  if (!looks_like_torch_file(map.bytes())) {
    StateDict state = read_state(file, backend);
    strip_parallel_prefix(state);
    return state;
  }
  const TorchValue value = parse_torch_file(map.bytes(), file.string());
  std::string key;
  const TorchValue* dict = find_state_dict(value, key);
  if (dict == nullptr) {
    throw InputError(file.string() +
                     " holds no weights: no dict of tensors, neither its own nor under "
                     "\"model_state_dict\", \"state_dict\" or \"model\"");
  }
  return to_state(*dict, backend, file.string());
}

}  // namespace cardiograd
