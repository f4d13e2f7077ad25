// state_dict: a module's tensors under PyTorch's names, in PyTorch's shapes, and as safetensors.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nn/module.h"
#include "nn/safetensors.h"

namespace cardiograd {

struct StateEntry {
  std::string name;
  Tensor value;
};
using StateDict = std::vector<StateEntry>;

// One tensor between the two layouts (copies, except where they are the same).
Tensor to_torch(const Tensor& stored, const TorchLayout& layout);

// Parameters, then buffers.
StateDict state_dict(const Module& module);

// Copies by name into `targets`, converting layout and floating dtype. Missing, unexpected and
// wrongly shaped tensors are all listed in one InputError that begins with `source`; nothing is
// changed then.
void load_tensors(const std::vector<NamedTensor>& targets, const StateDict& state,
                  const std::string& source);
void load_state_dict(Module& module, const StateDict& state, const std::string& source);

// A state's tensors in host memory, which does not change with them.
class HostState {
 public:
  explicit HostState(const StateDict& state);
  // Valid as long as this object.
  std::vector<NamedView> views() const;

 private:
  struct Entry {
    std::string name;
    DType dtype;
    Dims dims;
    std::unique_ptr<std::byte[]> bytes;
  };
  std::vector<Entry> entries_;
};

// As a safetensors file, written whole or not at all.
void save_state(const std::filesystem::path& path, const HostState& state,
                const Metadata& metadata = {});
void save_state(const std::filesystem::path& path, const StateDict& state,
                const Metadata& metadata = {});
StateDict read_state(const std::filesystem::path& path, const std::shared_ptr<Backend>& backend);

}  // namespace cardiograd
