#include "tests/kernels/operation_cases.h"

namespace cardiograd::cases {

const std::vector<Operation>& operations() {
  static const std::vector<Operation> table{
      {"fill", fill_cases},
      {"copy", copy_cases},
      {"cast", cast_cases},
      {"accumulate", accumulate_cases},
      {"scale", scale_cases},
      {"add", add_cases},
      {"multiply", multiply_cases},
      {"slice", slice_cases},
      {"place", place_cases},
      {"permute", permute_cases},
      {"sum", sum_cases},
      {"expand", expand_cases},
      {"max_forward", max_forward_cases},
      {"max_backward", max_backward_cases},
      {"activation_forward", activation_forward_cases},
      {"activation_backward", activation_backward_cases},
      {"softmax_forward", softmax_forward_cases},
      {"softmax_backward", softmax_backward_cases},
      {"dropout", dropout_cases},
      {"linear_forward", linear_forward_cases},
      {"linear_backward_data", linear_backward_data_cases},
      {"linear_backward_weight", linear_backward_weight_cases},
      {"conv1d_forward", conv1d_forward_cases},
      {"conv1d_backward_data", conv1d_backward_data_cases},
      {"conv1d_backward_weight", conv1d_backward_weight_cases},
      {"conv1d_relu_maxpool_forward", conv1d_relu_maxpool_forward_cases},
      {"conv1d_relu_maxpool_backward", conv1d_relu_maxpool_backward_cases},
      {"lstm_forward", lstm_forward_cases},
      {"lstm_saved_size", lstm_training_cases},
      {"lstm_backward", lstm_backward_cases},
      {"max_pool1d_forward", max_pool1d_forward_cases},
      {"max_pool1d_backward", max_pool1d_backward_cases},
      {"avg_pool1d_forward", avg_pool1d_forward_cases},
      {"avg_pool1d_backward", avg_pool1d_backward_cases},
      {"adaptive_avg_pool1d_forward", adaptive_avg_pool1d_forward_cases},
      {"adaptive_avg_pool1d_backward", adaptive_avg_pool1d_backward_cases},
      {"upsample_nearest_forward", upsample_nearest_forward_cases},
      {"upsample_nearest_backward", upsample_nearest_backward_cases},
      {"attention_forward", attention_forward_cases},
      {"attention_backward", attention_backward_cases},
      {"embedding_forward", embedding_forward_cases},
      {"embedding_backward", embedding_backward_cases},
      {"quantize", quantize_cases},
      {"batch_norm_training_forward", batch_norm_training_forward_cases},
      {"batch_norm_training_backward", batch_norm_training_backward_cases},
      {"batch_norm_inference_forward", batch_norm_inference_forward_cases},
      {"batch_norm_inference_backward", batch_norm_inference_backward_cases},
      {"layer_norm_forward", layer_norm_forward_cases},
      {"layer_norm_backward", layer_norm_backward_cases},
      {"bce_with_logits", bce_with_logits_cases},
      {"gradient_norm", gradient_norm_cases},
      {"optimizer_step", optimizer_step_cases},
      {"gather_records", gather_records_cases},
      {"wavelet_denoise", wavelet_denoise_cases},
  };
  return table;
}

const Operation& operation_named(const std::string& name) {
  for (const Operation& operation : operations()) {
    if (operation.name == name) return operation;
  }
  throw InputError("the table of operation cases has no row " + name);
}

}  // namespace cardiograd::cases
