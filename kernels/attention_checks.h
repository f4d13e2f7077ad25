// What attention asks of its operands, on every backend.
#pragma once

#include "kernels/backend.h"
#include "kernels/checks.h"

namespace cardiograd {

// Throws ShapeError unless the operands fit each other and the specification.
inline void check_attention(const AttentionSpec& spec, const AttentionMasks& masks,
                            const ConstView& q, const ConstView& k, const ConstView& v,
                            const ConstView& lse) {
  CG_CHECK(q.dims.rank() == 3 && k.dims.rank() == 3 && k.dims == v.dims && k.dims[0] == q.dims[0] &&
               k.dims[2] == q.dims[2],
           "attention wants q [N, Lq, D] and k, v [N, Lk, D], got " + q.dims.to_string() + ", " +
               k.dims.to_string() + " and " + v.dims.to_string());
  CG_CHECK(spec.heads >= 1 && q.dims[2] % spec.heads == 0,
           "attention: " + std::to_string(spec.heads) + " heads do not divide a width of " +
               std::to_string(q.dims[2]));
  CG_CHECK(spec.dropout >= 0.0 && spec.dropout <= 1.0,
           "attention: a dropout probability lies in [0, 1], got " + std::to_string(spec.dropout));
  require_same_shape("attention", lse.dims, {q.dims[0], spec.heads, q.dims[1]});
  if (masks.padding.present()) {
    require_same_shape("attention padding", masks.padding.dims, {q.dims[0], k.dims[1]});
  }
  if (masks.additive.present()) {
    require_same_shape("attention mask", masks.additive.dims, {q.dims[1], k.dims[1]});
  }
  if (masks.records.present()) {
    require_vector("attention records", masks.records.dims, q.dims[0]);
  }
}

}  // namespace cardiograd
