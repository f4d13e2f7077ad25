// The seed's transformer, for batches and any length. The signal's mean over `token_stride` samples
// is quantised lead by lead, and each level embedded; the leads' embeddings side by side, plus
// sinusoidal positions, are a token. An encoder reads the tokens; a decoder, whose input is eight
// tokens made of the notes, attends to what the encoder gives; a small convolutional classifier
// reads its eight tokens. Attention, encoder, decoder: Vaswani et al. 2017.
#pragma once

#include <memory>

#include "models/classifier.h"

namespace cardiograd {

// Throws InputError where the options do not fit together: heads and leads must divide the width,
// and a record must give a token.
std::unique_ptr<Classifier> make_transformer(const BuildContext& context,
                                             const ModelOptions& options);

}  // namespace cardiograd
