// The one table of cases that drives every compute method of Backend: a row a method. A new
// operation is one row here and a function that lists its cases.
#pragma once

#include <string>
#include <vector>

#include "tests/kernels/operation_case.h"

namespace cardiograd::cases {

struct Operation {
  std::string name;  // Backend's method
  std::vector<OperationCase> (*cases)();
};

const std::vector<Operation>& operations();
const Operation& operation_named(const std::string& name);

// Elementwise and data movement.
std::vector<OperationCase> fill_cases();
std::vector<OperationCase> copy_cases();
std::vector<OperationCase> cast_cases();
std::vector<OperationCase> accumulate_cases();
std::vector<OperationCase> scale_cases();
std::vector<OperationCase> add_cases();
std::vector<OperationCase> multiply_cases();
std::vector<OperationCase> slice_cases();
std::vector<OperationCase> place_cases();
std::vector<OperationCase> permute_cases();
// Reductions.
std::vector<OperationCase> sum_cases();
std::vector<OperationCase> expand_cases();
std::vector<OperationCase> max_forward_cases();
std::vector<OperationCase> max_backward_cases();
// Activations, softmax, dropout.
std::vector<OperationCase> activation_forward_cases();
std::vector<OperationCase> activation_backward_cases();
std::vector<OperationCase> softmax_forward_cases();
std::vector<OperationCase> softmax_backward_cases();
std::vector<OperationCase> dropout_cases();
// Linear and convolution.
std::vector<OperationCase> linear_forward_cases();
std::vector<OperationCase> linear_backward_data_cases();
std::vector<OperationCase> linear_backward_weight_cases();
std::vector<OperationCase> conv1d_forward_cases();
std::vector<OperationCase> conv1d_backward_data_cases();
std::vector<OperationCase> conv1d_backward_weight_cases();
std::vector<OperationCase> conv1d_relu_maxpool_forward_cases();
std::vector<OperationCase> conv1d_relu_maxpool_backward_cases();
// Recurrent layers.
std::vector<OperationCase> lstm_forward_cases();
std::vector<OperationCase> lstm_training_cases();
std::vector<OperationCase> lstm_backward_cases();
// Pooling.
std::vector<OperationCase> max_pool1d_forward_cases();
std::vector<OperationCase> max_pool1d_backward_cases();
std::vector<OperationCase> avg_pool1d_forward_cases();
std::vector<OperationCase> avg_pool1d_backward_cases();
std::vector<OperationCase> adaptive_avg_pool1d_forward_cases();
std::vector<OperationCase> adaptive_avg_pool1d_backward_cases();
// Attention, tokens.
std::vector<OperationCase> upsample_nearest_forward_cases();
std::vector<OperationCase> upsample_nearest_backward_cases();
std::vector<OperationCase> attention_forward_cases();
std::vector<OperationCase> attention_backward_cases();
std::vector<OperationCase> embedding_forward_cases();
std::vector<OperationCase> embedding_backward_cases();
std::vector<OperationCase> quantize_cases();
// Normalisation.
std::vector<OperationCase> batch_norm_training_forward_cases();
std::vector<OperationCase> batch_norm_training_backward_cases();
std::vector<OperationCase> batch_norm_inference_forward_cases();
std::vector<OperationCase> batch_norm_inference_backward_cases();
std::vector<OperationCase> layer_norm_forward_cases();
std::vector<OperationCase> layer_norm_backward_cases();
// Loss, optimizer, data.
std::vector<OperationCase> bce_with_logits_cases();
std::vector<OperationCase> gradient_norm_cases();
std::vector<OperationCase> optimizer_step_cases();
std::vector<OperationCase> gather_records_cases();
std::vector<OperationCase> wavelet_denoise_cases();

}  // namespace cardiograd::cases
