// The seed's recurrent models on 12 leads: an LSTM of two layers of 64 units reads the record, its
// state after the last sample goes on. Alone (`rnn`): Linear 64 -> 64, ReLU, Linear -> classes.
// With a 768-value note embedding (`mmrnn`): Linear 64 -> 768 and LayerNorm for the signal,
// LayerNorm for the note, their sum, Linear -> classes, with no other activation. The initial state
// is zero. `dropout` acts between the LSTM's layers and before the last Linear; there is no place
// for BatchNorm.
#pragma once

#include <memory>

#include "models/classifier.h"

namespace cardiograd {

// Both throw InputError for batch_norm and for records without samples. mmrnn does with either
// input alone.
std::unique_ptr<Classifier> make_rnn(const BuildContext& context, const ModelOptions& options);
std::unique_ptr<Classifier> make_mmrnn(const BuildContext& context, const ModelOptions& options);

}  // namespace cardiograd
