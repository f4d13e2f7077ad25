// Binary cross-entropy with logits, as PyTorch's BCEWithLogitsLoss.
#include <cmath>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

// log(1 + exp(x)), without overflow.
double softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

}  // namespace

// -[w t log s(x) + (1 - t) log(1 - s(x))] = (1 - t) softplus(x) + w t softplus(-x).
void ReferenceBackend::bce_with_logits(ConstView logits, ConstView targets, ConstView pos_weight,
                                       Reduction reduction, View loss, View dlogits) {
  reference::check_same_shape(logits.dims, targets.dims);
  const reference::Rows shape = reference::rows_of(logits.dims);
  if (pos_weight.present()) reference::check_channels(pos_weight.dims, shape.channels);
  if (dlogits.present()) reference::check_same_shape(dlogits.dims, logits.dims);
  if (reduction == Reduction::none) {
    reference::check_same_shape(loss.dims, logits.dims);
  } else {
    CG_CHECK(loss.numel() == 1, "a reduced loss has one element, got " + loss.dims.to_string());
    loss.as<double>()[0] = 0.0;
  }
  const double share =
      reduction == Reduction::mean ? 1.0 / static_cast<double>(logits.numel()) : 1.0;
  for (std::int64_t i = 0; i < logits.numel(); ++i) {
    const double x = logits.as<double>()[i];
    const double target = targets.as<double>()[i];
    const double weight = pos_weight.present() ? pos_weight.as<double>()[i % shape.channels] : 1.0;
    const double value = (1.0 - target) * softplus(x) + weight * target * softplus(-x);
    if (reduction == Reduction::none) {
      loss.as<double>()[i] = value;
    } else {
      loss.as<double>()[0] += share * value;
    }
    if (dlogits.present()) {
      dlogits.as<double>()[i] =
          share * ((1.0 - target) * sigmoid(x) - weight * target * sigmoid(-x));
    }
  }
}

}  // namespace cardiograd
