// What the trainer trains: a module from a batch of records to one logit a class.
#pragma once

#include <cstdint>
#include <string>

#include "nn/module.h"

namespace cardiograd {

struct ModelInputs {
  Tensor signal;  // [N, length, leads], mV (or standardised); undefined where the model reads none
  Tensor notes;   // [N, note_size], note embeddings; undefined likewise
};

struct ModelOptions {
  std::string name = "cnn";
  std::int64_t classes = 5;
  std::int64_t leads = 12;
  std::int64_t length = 1000;  // samples
  std::int64_t note_size = 768;
  double dropout = 0.0;
  bool batch_norm = false;
};

class Classifier : public Module {
 public:
  // [N, classes].
  virtual Tensor forward(const ModelInputs& inputs) = 0;
};

}  // namespace cardiograd
