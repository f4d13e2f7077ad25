// Convolution without groups in bf16 or TF32 and its gradients, as products on tensor cores
// (tensor_product.h): the steps under a kernel, k Ci elements in one run (k runs where taps are
// dilated), are a row of the left factor, and neighbouring rows overlap. Their accesses are of 16
// bytes where the stride and the padding times the channels are multiples of eight (in f32: four),
// as they are for 16 leads, of 8 bytes for 12 (in f32: 16).
//
// Bytes, twice in f32: of y, 2 + 2 Ci stride / Co, the taps' overlap from L2 and L1. FLOPs: 2 k Ci
// an element of y. Bound: memory for k Ci below about 100, then tensor_product.cu's.
#pragma once

#include "kernels/cuda/conv1d_walk.h"
#include "kernels/cuda/tensor_product.h"

namespace cardiograd::cuda {

// Rows [record, step of the walk], columns [tap, channel].
template <bool backward, class T>
TensorMatrix<T> tensor_patches(const Convolution<backward>& convolution, const T* data) {
  const Walk& walk = convolution.walk;
  const std::int64_t channels = convolution.in_channels();
  TensorMatrix<T> matrix;
  matrix.data = data;
  matrix.rows = convolution.shape.records * walk.steps;
  matrix.columns = walk.taps * channels;
  matrix.steps = walk.steps;
  matrix.record_jump = convolution.in_length() * channels;
  matrix.first = walk.in_base * channels;
  matrix.row_jump = walk.in_stride * channels;
  matrix.run = walk.in_step == 1 ? matrix.columns : channels;
  matrix.run_jump = walk.in_step * channels;
  matrix.record_size = matrix.record_jump;
  return matrix;
}

// [tap, input, output]: the depth in rows.
template <class T>
TensorFactor<T> tensor_weights(const Convolution<false>& convolution, const T* weight) {
  const Conv1dShape& shape = convolution.shape;
  return {plain_matrix(weight, shape.kernel * shape.inputs, shape.outputs), false};
}

// The walk's taps of the weight, rows [input], columns [tap, output].
template <class T>
TensorFactor<T> tensor_weights(const Convolution<true>& convolution, const T* weight) {
  const Conv1dShape& shape = convolution.shape;
  const std::int64_t tap = shape.inputs * shape.outputs;
  TensorMatrix<T> matrix;
  matrix.data = weight;
  matrix.rows = shape.inputs;
  matrix.columns = convolution.walk.taps * shape.outputs;
  matrix.record_jump = shape.outputs;
  matrix.first = convolution.walk.tap_first * tap;
  matrix.run = shape.outputs;
  matrix.run_jump = convolution.walk.tap_step * tap;
  matrix.record_size = shape.kernel * tap;
  return {matrix, true};
}

// y, or x's gradient at the walk's steps. bias may be null.
template <bool backward, class T>
void tensor_convolve(const Device& device, BlockCache& blocks,
                     const Convolution<backward>& convolution, const T* x, const T* weight,
                     const T* bias, T* y) {
  TensorRows<T> to;
  to.bias = bias;
  to.y = y;
  to.steps = convolution.walk.steps;
  to.record_rows = convolution.out_length();
  to.first = convolution.walk.out_first;
  to.stride = convolution.walk.out_stride;
  tensor_product(device, blocks, {tensor_patches(convolution, x), true},
                 tensor_weights(convolution, weight), to);
}

// dweight [tap, input, output].
template <class T>
void tensor_weight_gradient(const Device& device, BlockCache& blocks, const Conv1dShape& shape,
                            const T* x, const T* dy, T* dweight) {
  const Convolution<false> convolution{shape, forward_walk(shape, shape.output_length)};
  TensorRows<T> to;
  to.y = dweight;
  tensor_product(device, blocks, {tensor_patches(convolution, x), false},
                 {plain_matrix(dy, shape.records * shape.output_length, shape.outputs), false}, to);
}

}  // namespace cardiograd::cuda
