// What dropout asks of its operands, on every backend.
#pragma once

#include "kernels/backend.h"
#include "kernels/checks.h"

namespace cardiograd {

// Throws ShapeError unless the operands fit each other and the specification.
inline void check_dropout(const DropoutSpec& spec, const ConstView& records, const ConstView& x,
                          const View& y) {
  require_same_shape("dropout", x.dims, y.dims);
  CG_CHECK(spec.p >= 0.0 && spec.p <= 1.0,
           "dropout: p must lie in [0, 1], got " + std::to_string(spec.p));
  CG_CHECK(x.dims.rank() >= 1, "dropout needs a batch axis, got a scalar");
  CG_CHECK(!spec.channel || x.dims.rank() == 3,
           "dropout of channels needs shape [N, L, C], got " + x.dims.to_string());
  if (records.present()) require_vector("dropout records", records.dims, x.dims[0]);
}

}  // namespace cardiograd
