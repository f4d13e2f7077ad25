// Module: a part of a model with named parameters, buffers and children, as in PyTorch.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/init.h"
#include "nn/tensor.h"

namespace cardiograd {

// What layers are built with.
struct BuildContext {
  std::shared_ptr<Backend> backend;
  DType dtype = DType::f32;
  TorchGenerator* random = nullptr;  // draws the initial values, in order of construction

  Tensor tensor(const Dims& dims, const std::vector<float>& values) const;
};

// How a stored parameter becomes PyTorch's: its elements, viewed with the sizes `view`, are
// permuted by `axes` (PyTorch's axis i is axis axes[i] of the view) and read with the shape
// `torch`. Empty: both are the same.
struct TorchLayout {
  Dims view;
  std::vector<int> axes;
  Dims torch;

  bool is_identity() const { return axes.empty(); }
  // A convolution weight: [k, Ci, Co] here, [Co, Ci, k] there.
  static TorchLayout conv1d(const Dims& stored);
  // A Linear behind a flattened sequence: its columns are (time, channel) here, (channel, time)
  // there.
  static TorchLayout flattened(std::int64_t outputs, std::int64_t length, std::int64_t channels);
};

struct NamedTensor {
  std::string name;  // "conv1.weight"
  Tensor tensor;
  TorchLayout layout;
};

class Module {
 public:
  Module() = default;
  // Children are registered by address.
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  virtual ~Module() = default;

  // Own ones first, then each child's, in order of registration.
  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> buffers() const;
  std::int64_t parameter_count() const;

  // Dropout and BatchNorm act by this; new modules are in training mode.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  // What the module is called in the model, as state_dict has it: "conv1", "encoder.layers.0"; ""
  // for the model itself. The text lives as long as the program.
  const char* path() const { return path_; }

 protected:
  // The returned tensor shares memory with the registered one.
  Tensor register_parameter(std::string name, Tensor value, TorchLayout layout = {});
  Tensor register_buffer(std::string name, Tensor value);
  void register_module(std::string name, Module& child);

 private:
  using Entries = std::vector<NamedTensor>;
  static void collect(const Module& module, const Entries Module::*member,
                      const std::string& prefix, Entries& result);
  void set_path(const std::string& path);

  Entries parameters_;
  Entries buffers_;
  std::vector<std::pair<std::string, Module*>> children_;
  const char* path_ = "";
  bool training_ = true;
};

}  // namespace cardiograd
