#include "nn/module.h"

#include <mutex>
#include <unordered_set>

namespace cardiograd {

namespace {

// One copy of each text, for good: a recorded operation may outlive the layer that it names.
const char* kept(const std::string& text) {
  static std::mutex mutex;
  static std::unordered_set<std::string> texts;
  const std::lock_guard lock(mutex);
  return texts.insert(text).first->c_str();
}

}  // namespace

Tensor BuildContext::tensor(const Dims& dims, const std::vector<float>& values) const {
  return Tensor::from_host<float>(backend, dims, dtype, values);
}

TorchLayout TorchLayout::conv1d(const Dims& stored) {
  return {stored, {2, 1, 0}, {stored[2], stored[1], stored[0]}};
}

TorchLayout TorchLayout::flattened(std::int64_t outputs, std::int64_t length,
                                   std::int64_t channels) {
  return {{outputs, length, channels}, {0, 2, 1}, {outputs, channels * length}};
}

void Module::collect(const Module& module, const Entries Module::*member, const std::string& prefix,
                     Entries& result) {
  for (const NamedTensor& entry : module.*member) {
    result.push_back({prefix + entry.name, entry.tensor, entry.layout});
  }
  for (const auto& [name, child] : module.children_) {
    collect(*child, member, prefix + name + ".", result);
  }
}

std::vector<NamedTensor> Module::parameters() const {
  Entries result;
  collect(*this, &Module::parameters_, "", result);
  return result;
}

std::vector<NamedTensor> Module::buffers() const {
  Entries result;
  collect(*this, &Module::buffers_, "", result);
  return result;
}

std::int64_t Module::parameter_count() const {
  std::int64_t count = 0;
  for (const NamedTensor& parameter : parameters()) count += parameter.tensor.numel();
  return count;
}

void Module::train(bool on) {
  training_ = on;
  for (const auto& [name, child] : children_) child->train(on);
}

Tensor Module::register_parameter(std::string name, Tensor value, TorchLayout layout) {
  value.set_requires_grad(true);
  parameters_.push_back({std::move(name), value, std::move(layout)});
  return value;
}

Tensor Module::register_buffer(std::string name, Tensor value) {
  buffers_.push_back({std::move(name), value, {}});
  return value;
}

void Module::register_module(std::string name, Module& child) {
  const std::string above = path_;
  child.set_path(above.empty() ? name : above + "." + name);
  children_.emplace_back(std::move(name), &child);
}

void Module::set_path(const std::string& path) {
  path_ = kept(path);
  for (const auto& [name, child] : children_) child->set_path(path + "." + name);
}

}  // namespace cardiograd
