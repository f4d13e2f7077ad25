// Models by name: one line here, one file, one config and one golden test make a model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/classifier.h"

namespace cardiograd {

struct ModelEntry {
  std::string name;
  std::string summary;
  bool reads_signal = true;  // it can: a run may give it less than all
  bool reads_notes = false;
  std::unique_ptr<Classifier> (*make)(const BuildContext&, const ModelOptions&) = nullptr;
};

const std::vector<ModelEntry>& model_registry();

// Throws InputError with the list of models and the nearest name.
const ModelEntry& find_model(const std::string& name);

}  // namespace cardiograd
