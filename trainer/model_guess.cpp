#include "trainer/model_guess.h"

#include <map>
#include <optional>

#include "data/packed.h"
#include "kernels/error.h"
#include "models/registry.h"

namespace cardiograd {
namespace {

using Shapes = std::map<std::string, Dims>;

Shapes shapes_of(const StateDict& weights) {
  Shapes shapes;
  for (const StateEntry& entry : weights) shapes.emplace(entry.name, entry.value.dims());
  return shapes;
}

// In PyTorch's shapes. Absent where the model cannot be built with these options.
std::optional<Shapes> shapes_of(const ModelEntry& entry, const ModelOptions& options,
                                const std::shared_ptr<Backend>& backend) {
  try {
    TorchGenerator random(0);
    const auto model = entry.make({backend, DType::f32, &random}, options);
    Shapes shapes;
    for (const auto& tensors : {model->parameters(), model->buffers()}) {
      for (const NamedTensor& one : tensors) {
        shapes.emplace(one.name, one.layout.is_identity() ? one.tensor.dims() : one.layout.torch);
      }
    }
    return shapes;
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool same_names(const Shapes& a, const Shapes& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, dims] : a) {
    const auto found = b.find(name);
    if (found == b.end() || found->second.rank() != dims.rank()) return false;
  }
  return true;
}

// What the option must be so that `base`, the shapes with `value`, become those of the weights:
// `next`, the shapes with value + 1, show which sizes depend on it, and how.
std::int64_t solve(const Shapes& weights, const Shapes& base, const Shapes& next,
                   std::int64_t value) {
  for (const auto& [name, dims] : base) {
    for (int axis = 0; axis < dims.rank(); ++axis) {
      const std::int64_t slope = next.at(name)[axis] - dims[axis];
      if (slope != 0) return value + (weights.at(name)[axis] - dims[axis]) / slope;
    }
  }
  return value;
}

std::optional<ModelOptions> fit_options(const Shapes& weights, const ModelEntry& entry,
                                        const ModelOptions& first,
                                        const std::shared_ptr<Backend>& backend) {
  ModelOptions options = first;
  const auto base = shapes_of(entry, first, backend);
  if (!base || !same_names(weights, *base)) return std::nullopt;
  for (std::int64_t ModelOptions::*size : {&ModelOptions::classes, &ModelOptions::note_size}) {
    ModelOptions more = first;  // the sizes are told apart by changing one at a time
    more.*size += 1;
    const auto next = shapes_of(entry, more, backend);
    if (next && same_names(*base, *next)) {
      options.*size = solve(weights, *base, *next, first.*size);
    }
  }
  if (options.classes < 1 || options.note_size < 1) return std::nullopt;
  for (const std::int64_t rate : {100, 500}) {
    options.length = rate * packed_seconds;
    if (shapes_of(entry, options, backend) == weights) return options;
  }
  return std::nullopt;
}

}  // namespace

std::vector<ModelOptions> fitting_models(const StateDict& weights, const std::string& name,
                                         const std::shared_ptr<Backend>& backend) {
  const Shapes shapes = shapes_of(weights);
  if (!name.empty()) find_model(name);  // names the nearest one where there is none
  std::vector<ModelOptions> fits;
  for (const ModelEntry& entry : model_registry()) {
    if (!name.empty() && entry.name != name) continue;
    for (const bool batch_norm : {false, true}) {
      ModelOptions options;
      options.name = entry.name;
      options.batch_norm = batch_norm;
      if (const auto found = fit_options(shapes, entry, options, backend)) {
        fits.push_back(*found);
        break;
      }
    }
  }
  return fits;
}

}  // namespace cardiograd
