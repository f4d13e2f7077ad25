// The one file pair that knows oneDNN, and which of its two interfaces (2.x or 3.x) is installed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cpu/block_cache.h"
#include "kernels/cpu/conv1d_direct.h"

namespace cardiograd {

// "2.6.3": the library that runs, not the headers.
std::string onednn_version();

// oneDNN's primitives by operation and shape, for one engine and one stream. Calls are serialised.
// Operands are N-L-C as in Conv1dShape; what oneDNN needs in another order is reordered on the way.
class PrimitiveCache {
 public:
  // Scratch memory comes from `blocks`, which must outlive this.
  explicit PrimitiveCache(BlockCache& blocks);
  ~PrimitiveCache();

  // bias and dbias may be null.
  void conv1d_forward(const Conv1dShape& shape, const float* x, const float* weight,
                      const float* bias, float* y);
  void conv1d_backward_data(const Conv1dShape& shape, const float* dy, const float* weight,
                            float* dx);
  void conv1d_backward_weight(const Conv1dShape& shape, const float* x, const float* dy,
                              float* dweight, float* dbias);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// Whether a row-major matrix is used as it lies or transposed.
enum class Order : char { plain = 'N', transposed = 'T' };

// c [rows, columns] = a b + beta c, all row-major and dense; a is [rows, depth] after its order is
// applied, b [depth, columns].
void matrix_multiply(Order a_order, Order b_order, std::int64_t rows, std::int64_t columns,
                     std::int64_t depth, const float* a, const float* b, float beta, float* c);

}  // namespace cardiograd
