// Which random numbers a forward pass draws.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/philox.h"
#include "nn/tensor.h"

namespace cardiograd {

// While it lives, random operations of this thread (dropout) are keyed by (seed, epoch, record,
// number of the operation in the forward pass). `records` (i32 [N]) names the record of each row of
// the batch, so that a record meets the same draws in any batch, on any rank and after a resume;
// without it the row number stands in. Scopes nest.
class RandomScope {
 public:
  RandomScope(std::uint64_t seed, std::uint32_t epoch, Tensor records = {});
  RandomScope(const RandomScope&) = delete;
  RandomScope& operator=(const RandomScope&) = delete;
  ~RandomScope();

  // The key of the next random operation of the innermost scope. Without a scope, throws Error: a
  // training-mode forward pass that nobody seeded could not be repeated.
  static RandomKey next_key();
  // The innermost scope's records; undefined without.
  static Tensor records();

 private:
  RandomKey key_;
  Tensor records_;
  RandomScope* outer_;
};

// f32 tensor of standard normal values, drawn on the host (Box & Muller 1958): row n of the first
// axis takes the draws of record n.
Tensor standard_normal(const std::shared_ptr<Backend>& backend, const Dims& dims,
                       const RandomKey& key);

}  // namespace cardiograd
