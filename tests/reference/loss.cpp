// Binary cross-entropy with logits, as PyTorch's BCEWithLogitsLoss, and its focal forms.
#include <cmath>

#include "tests/reference/reference_backend.h"
#include "tests/reference/shapes.h"

namespace cardiograd {

namespace {

// log(1 + exp(x)), without overflow.
double softplus(double x) { return std::fmax(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

struct Term {
  double loss;
  double slope;  // by the logit
};

// -(1 - p)^gamma log(p), p = s(x).
Term positive_term(double x, double gamma) {
  const double factor = std::exp(-gamma * softplus(x));
  const double log_p = -softplus(-x);
  return {-factor * log_p, factor * (gamma * sigmoid(x) * log_p - sigmoid(-x))};
}

// -q^gamma log(1 - q), q = max(p - margin, 0): without a margin, positive_term of the other
// outcome.
Term negative_term(double x, double gamma, double margin) {
  if (margin == 0.0) {
    const Term mirrored = positive_term(-x, gamma);
    return {mirrored.loss, -mirrored.slope};
  }
  const double p = sigmoid(x);
  const double q = p - margin;
  if (q <= 0.0) return {0.0, 0.0};
  const double by_q =
      std::pow(q, gamma) / (1.0 - q) - gamma * std::pow(q, gamma - 1.0) * std::log1p(-q);
  return {-std::pow(q, gamma) * std::log1p(-q), by_q * p * sigmoid(-x)};
}

}  // namespace

void ReferenceBackend::bce_with_logits(const BceSpec& spec, ConstView logits, ConstView targets,
                                       ConstView pos_weight, View loss, View dlogits) {
  const Reduction reduction = spec.reduction;
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
    const double target = targets.as<double>()[i] * (1.0 - spec.smoothing) + spec.smoothing / 2.0;
    const double weight = pos_weight.present() ? pos_weight.as<double>()[i % shape.channels] : 1.0;
    const Term positive = positive_term(x, spec.gamma_positive);
    const Term negative = negative_term(x, spec.gamma_negative, spec.margin);
    const double positive_share = spec.positive * weight * target;
    const double negative_share = spec.negative * (1.0 - target);
    const double value = positive_share * positive.loss + negative_share * negative.loss;
    if (reduction == Reduction::none) {
      loss.as<double>()[i] = value;
    } else {
      loss.as<double>()[0] += share * value;
    }
    if (dlogits.present()) {
      dlogits.as<double>()[i] =
          share * (positive_share * positive.slope + negative_share * negative.slope);
    }
  }
}

}  // namespace cardiograd
