// What every backend demands of the operands of bce_with_logits.
#pragma once

#include <algorithm>

#include "kernels/backend.h"
#include "kernels/checks.h"

namespace cardiograd {

// Throws ShapeError unless they fit together.
inline void check_bce(const BceSpec& spec, const ConstView& logits, const ConstView& targets,
                      const ConstView& pos_weight, const View& loss, const View& dlogits) {
  require_same_shape("bce_with_logits", logits.dims, targets.dims);
  if (dlogits.present()) require_same_shape("bce_with_logits", logits.dims, dlogits.dims);
  if (pos_weight.present()) {
    CG_CHECK(logits.dims.rank() >= 1, "bce_with_logits: pos_weight needs a class axis");
    require_vector("bce_with_logits", pos_weight.dims, logits.dims[-1]);
  }
  if (spec.reduction == Reduction::none) {
    require_same_shape("bce_with_logits", logits.dims, loss.dims);
  } else {
    CG_CHECK(loss.numel() == 1,
             "bce_with_logits: a reduced loss is one element, got " + loss.dims.to_string());
  }
  CG_CHECK(spec.smoothing >= 0.0 && spec.smoothing < 1.0 && spec.margin >= 0.0 &&
               spec.margin < 1.0 && spec.gamma_positive >= 0.0 && spec.gamma_negative >= 0.0,
           "bce_with_logits: smoothing and margin lie in [0, 1), gammas are at least 0");
}

// What the sum of all losses, and each gradient, is multiplied by.
inline double bce_scale(const BceSpec& spec, std::int64_t count) {
  return spec.reduction == Reduction::mean
             ? 1.0 / static_cast<double>(std::max<std::int64_t>(count, 1))
             : 1.0;
}

}  // namespace cardiograd
