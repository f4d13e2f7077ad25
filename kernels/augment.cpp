#include "kernels/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cardiograd {
namespace {

// The logarithm of a Gamma(shape, 1) variate: Marsaglia & Tsang, "A simple method for generating
// gamma variables" (ACM TOMS 26, 2000), with their G(a) = G(a + 1) U^(1 / a) for a < 1. In
// logarithms, because the power underflows where a is small. Takes draws from `block` on.
double log_gamma_variate(const RandomKey& key, std::uint32_t record, double shape,
                         std::uint32_t& block) {
  const auto open = [](std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; };
  double boost = 0.0;
  if (shape < 1.0) {
    boost = std::log(open(key.draw(record, block++)[0])) / shape;
    shape += 1.0;
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  while (true) {
    const Philox::Words words = key.draw(record, block++);
    const double normal = std::sqrt(-2.0 * std::log(open(words[0]))) *
                          std::cos(2.0 * std::numbers::pi * open(words[1]));
    const double cube = 1.0 + c * normal;
    if (cube <= 0.0) continue;
    const double v = cube * cube * cube;
    if (std::log(open(words[2])) < 0.5 * normal * normal + d - d * v + d * std::log(v)) {
      return std::log(d * v) + boost;
    }
  }
}

}  // namespace

bool AugmentSpec::changes_signal() const {
  return crop || std::max({shift, amplitude, wander, hum, noise, lead_dropout, mask}) > 0.0;
}

std::uint32_t AugmentSpec::mask_threshold() const {
  const double p = mask_share / static_cast<double>(mask_longest);
  return static_cast<std::uint32_t>(std::ceil(std::min(p, 1.0) * 0x1p24));
}

void plan_leads(const AugmentSpec& spec, const RecordPlan& plan, std::uint32_t record,
                std::int64_t leads, LeadPlan* plans) {
  std::int64_t dropped = 0;
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    plans[lead] = plan_lead(spec, plan, record, lead);
    dropped += plans[lead].dropped ? 1 : 0;
  }
  if (leads > 0 && dropped == leads) plans[kept_lead(spec, record, leads)].dropped = false;
}

Mixup draw_mixup(const AugmentSpec& spec, std::uint32_t record, std::int64_t candidates) {
  const RandomKey key = spec.key(AugmentDraw::mixup_share);
  std::uint32_t block = 0;
  const double a = log_gamma_variate(key, record, spec.mixup, block);
  const double b = log_gamma_variate(key, record, spec.mixup, block);
  const std::uint32_t word = spec.key(AugmentDraw::mixup_partner).draw(record, 0)[0];
  return {augment_detail::choose(word, candidates),
          static_cast<float>(1.0 / (1.0 + std::exp(b - a)))};
}

}  // namespace cardiograd
