// Convolution without groups, or depthwise, by our own SIMD kernels. In N-L-C layout the receptive
// field of an output step is contiguous in memory, so a convolution is a matrix product whose left
// rows overlap; nothing is unfolded. The weight gradient is summed over a number of batch chunks
// that depends on the shape alone, in a fixed order: its bits do not depend on the number of
// threads.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cpu/block_cache.h"

namespace cardiograd {

// x [records, length, inputs], weight [kernel, inputs / groups, outputs],
// y [records, output_length, outputs].
struct Conv1dShape {
  std::int64_t records = 0;
  std::int64_t length = 0;
  std::int64_t inputs = 0;
  std::int64_t kernel = 0;
  std::int64_t outputs = 0;
  std::int64_t output_length = 0;
  Conv1dSpec spec;
};

// What the functions below take: one group or one for each channel (depthwise, whole vectors of
// channels); any stride, padding and dilation, but the gradient to x wants stride 1. The fusion
// with pooling wants one group.
bool direct_forward_fits(const Conv1dShape& shape);
bool direct_backward_data_fits(const Conv1dShape& shape);
bool direct_relu_pool_forward_fits(const Conv1dShape& shape);
bool direct_relu_pool_backward_fits(const Conv1dShape& shape);

// bias may be null.
void direct_forward(BlockCache& blocks, const Conv1dShape& shape, const float* x,
                    const float* weight, const float* bias, float* y);
void direct_backward_data(BlockCache& blocks, const Conv1dShape& shape, const float* dy,
                          const float* weight, float* dx);
// dbias may be null.
void direct_backward_weight(BlockCache& blocks, const Conv1dShape& shape, const float* x,
                            const float* dy, float* dweight, float* dbias);

// Followed by ReLU and max-pooling; y and winner [records, output_length / pool, outputs].
void direct_relu_pool_forward(BlockCache& blocks, const Conv1dShape& shape, std::int64_t pool,
                              const float* x, const float* weight, const float* bias, float* y,
                              std::uint8_t* winner);
// dx and dbias may be null.
void direct_relu_pool_backward(BlockCache& blocks, const Conv1dShape& shape, std::int64_t pool,
                               const float* x, const float* weight, const std::uint8_t* winner,
                               const float* dy, float* dx, float* dweight, float* dbias);

}  // namespace cardiograd
