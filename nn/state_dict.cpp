#include "nn/state_dict.h"

#include <set>

namespace cardiograd {

namespace {

const Dims& torch_dims(const NamedTensor& entry) {
  return entry.layout.is_identity() ? entry.tensor.dims() : entry.layout.torch;
}

// The inverse of to_torch, into memory that is already there.
void from_torch(const Tensor& torch, const NamedTensor& target) {
  const std::shared_ptr<Backend>& backend = target.tensor.backend();
  Tensor source = torch;
  if (source.dtype() != target.tensor.dtype()) {
    source = Tensor::empty(backend, torch.dims(), target.tensor.dtype());
    backend->cast(torch.view(), source.view());
  }
  if (target.layout.is_identity()) {
    backend->copy(source.view(), target.tensor.view());
    return;
  }
  const TorchLayout& layout = target.layout;
  View from = source.view();
  from.dims = Dims{};
  std::vector<int> inverse(layout.axes.size());
  for (std::size_t i = 0; i < layout.axes.size(); ++i) {
    from.dims.push_back(layout.view[layout.axes[i]]);
    inverse[static_cast<std::size_t>(layout.axes[i])] = static_cast<int>(i);
  }
  View to = target.tensor.view();
  to.dims = layout.view;
  backend->permute(from, inverse, to);
}

}  // namespace

Tensor to_torch(const Tensor& stored, const TorchLayout& layout) {
  if (layout.is_identity()) return stored.detach();
  Tensor result = Tensor::empty(stored.backend(), layout.torch, stored.dtype());
  View from = stored.view();
  from.dims = layout.view;
  View to = result.view();
  to.dims = Dims{};
  for (int axis : layout.axes) to.dims.push_back(layout.view[axis]);
  stored.backend()->permute(from, layout.axes, to);
  return result;
}

StateDict state_dict(const Module& module) {
  StateDict result;
  for (const auto& entries : {module.parameters(), module.buffers()}) {
    for (const NamedTensor& entry : entries) {
      result.push_back({entry.name, to_torch(entry.tensor, entry.layout)});
    }
  }
  return result;
}

void load_tensors(const std::vector<NamedTensor>& targets, const StateDict& state,
                  const std::string& source) {
  std::map<std::string, Tensor> given;
  for (const StateEntry& entry : state) given[entry.name] = entry.value;
  std::string missing, shapes, unexpected;
  const auto append = [](std::string& list, const std::string& item) {
    list += (list.empty() ? "" : ", ") + item;
  };
  for (const NamedTensor& target : targets) {
    const auto at = given.find(target.name);
    if (at == given.end()) {
      append(missing, target.name);
    } else if (!(at->second.dims() == torch_dims(target))) {
      append(shapes, target.name + " (" + at->second.dims().to_string() + " there, " +
                         torch_dims(target).to_string() + " here)");
    }
  }
  std::set<std::string> expected;
  for (const NamedTensor& target : targets) expected.insert(target.name);
  for (const auto& [name, value] : given) {
    if (!expected.contains(name)) append(unexpected, name);
  }
  if (!missing.empty() || !shapes.empty() || !unexpected.empty()) {
    std::string sentence = source + " does not fit this model:";
    if (!missing.empty()) sentence += " it lacks " + missing + ";";
    if (!unexpected.empty()) sentence += " it has the unknown " + unexpected + ";";
    if (!shapes.empty()) sentence += " shapes differ for " + shapes + ";";
    sentence.back() = '.';
    throw InputError(sentence);
  }
  for (const NamedTensor& target : targets) from_torch(given[target.name], target);
}

void load_state_dict(Module& module, const StateDict& state, const std::string& source) {
  std::vector<NamedTensor> targets = module.parameters();
  for (NamedTensor& buffer : module.buffers()) targets.push_back(std::move(buffer));
  load_tensors(targets, state, source);
}

HostState::HostState(const StateDict& state) {
  for (const StateEntry& entry : state) {
    const View view = entry.value.view();
    Entry copy{entry.name, view.dtype, view.dims,
               std::make_unique_for_overwrite<std::byte[]>(view.bytes())};
    entry.value.backend()->copy_to_host(copy.bytes.get(), view.data, view.bytes());
    entries_.push_back(std::move(copy));
  }
}

std::vector<NamedView> HostState::views() const {
  std::vector<NamedView> views;
  for (const Entry& entry : entries_) {
    views.push_back({entry.name, ConstView(entry.bytes.get(), entry.dtype, entry.dims)});
  }
  return views;
}

void save_state(const std::filesystem::path& path, const HostState& state,
                const Metadata& metadata) {
  write_safetensors(path, state.views(), metadata);
}

void save_state(const std::filesystem::path& path, const StateDict& state,
                const Metadata& metadata) {
  save_state(path, HostState(state), metadata);
}

StateDict read_state(const std::filesystem::path& path, const std::shared_ptr<Backend>& backend) {
  const SafetensorsFile file(path);
  StateDict result;
  for (const std::string& name : file.names()) {
    const ConstView view = file.view(name);
    Tensor value = Tensor::empty(backend, view.dims, view.dtype);
    backend->copy_from_host(value.view().data, view.data, view.bytes());
    result.push_back({name, value});
  }
  return result;
}

}  // namespace cardiograd
