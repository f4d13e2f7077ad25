// What the trainer trains: a module from a batch of records to one logit a class.
#pragma once

#include <cstdint>
#include <string>

#include "nn/module.h"

namespace cardiograd {

// What a model may read. One that can read both can do with either: what stands for the features of
// an absent input is zeros, its branch is not computed, and its parameters get zero gradients.
struct ModelInputs {
  Tensor signal;  // [N, length, leads], mV (or standardised); undefined where absent
  Tensor notes;   // [N, note_size], note embeddings; undefined likewise

  // Records in the batch. Throws ShapeError where both are absent or do not agree.
  std::int64_t batch() const;
  // [N, size] of zeros, for the features of an absent input.
  Tensor absent(std::int64_t size) const;

 private:
  const Tensor& present() const;
};

struct ModelOptions {
  std::string name = "cnn";
  std::int64_t classes = 5;
  std::int64_t leads = 12;
  std::int64_t length = 1000;  // samples
  std::int64_t note_size = 768;
  double dropout = 0.0;
  bool batch_norm = false;

  // Of the transformer alone.
  std::int64_t layers = 6;  // of the encoder, and of the decoder
  std::int64_t heads = 12;
  std::int64_t width = 120;
  std::int64_t feedforward = 0;   // 0: four times the width
  std::int64_t token_stride = 4;  // samples a token
  std::int64_t levels = 256;      // of a lead's amplitude, between -amplitude and amplitude
  double amplitude = 4.0;         // mV, or standard deviations

  bool operator==(const ModelOptions&) const = default;
};

class Classifier : public Module {
 public:
  // [N, classes].
  virtual Tensor forward(const ModelInputs& inputs) = 0;
};

}  // namespace cardiograd
