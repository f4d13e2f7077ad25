// The seed's convolutional models on 12 leads: three stages of convolution, ReLU and max-pool 2
// (12 -> 16, k 7; 16 -> 32, k 5; 32 -> 48, k 3; no padding), then Linear -> 512 -> 128 with ReLU.
// Alone (`cnn`), or joined with a 768-value note embedding (Linear -> 128, ReLU) by sum and
// LayerNorm (`mmcnn_sum`), by concatenation (`mmcnn_cat`), by a LayerNorm of each and attention of
// 8 heads of the notes to the signal (`mmcnn_att`), or by sum, LayerNorm and self-attention
// (`mmcnn_sum_att`). batch_norm adds BatchNorm between convolution and ReLU, dropout acts behind
// each of the two wide layers.
#pragma once

#include <memory>

#include "models/classifier.h"

namespace cardiograd {

std::unique_ptr<Classifier> make_cnn(const BuildContext& context, const ModelOptions& options);
std::unique_ptr<Classifier> make_mmcnn_sum(const BuildContext& context,
                                           const ModelOptions& options);
std::unique_ptr<Classifier> make_mmcnn_cat(const BuildContext& context,
                                           const ModelOptions& options);
std::unique_ptr<Classifier> make_mmcnn_att(const BuildContext& context,
                                           const ModelOptions& options);
std::unique_ptr<Classifier> make_mmcnn_sum_att(const BuildContext& context,
                                               const ModelOptions& options);

}  // namespace cardiograd
