// Which model a file of weights belongs to, by the names and shapes of its tensors.
#pragma once

#include <string>
#include <vector>

#include "models/classifier.h"
#include "nn/state_dict.h"

namespace cardiograd {

// The options with which a registered model (or `name` alone, where it is not empty) has exactly
// these tensors: number of classes, size of a note, BatchNorm, and records of 10 s at 100 or 500 Hz
// (100 where the weights do not tell). One entry a model, in the registry's order; none where no
// model fits. Throws InputError for an unknown name.
std::vector<ModelOptions> fitting_models(const StateDict& weights, const std::string& name,
                                         const std::shared_ptr<Backend>& backend);

}  // namespace cardiograd
