#include "kernels/augment.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cardiograd {
namespace {

constexpr double wander_lowest = 0.05;  // Hz
constexpr double wander_highest = 0.5;
constexpr std::uint32_t kept_lead_block = 0x80000000U;

// "word of n": 0 .. n - 1.
std::int64_t choose(std::uint32_t word, std::int64_t n) {
  return static_cast<std::int64_t>((std::uint64_t{word} * static_cast<std::uint64_t>(n)) >> 32);
}

double unit(std::uint32_t word) { return static_cast<double>(Philox::uniform(word)); }

std::uint32_t phase_step(double frequency, double rate) {
  const double turns = frequency / rate;
  return static_cast<std::uint32_t>((turns - std::floor(turns)) * 0x1p32);
}

// Uniform in [-1, 1): the part that one lead has in a disturbance.
double lead_part(const RandomKey& key, std::uint32_t record, std::uint32_t first_block,
                 std::int64_t lead) {
  const auto block = first_block + static_cast<std::uint32_t>(lead / 4);
  return 2.0 * unit(key.draw(record, block)[static_cast<std::size_t>(lead % 4)]) - 1.0;
}

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

std::int64_t AugmentSpec::mask_width(std::uint32_t record, std::int64_t sample) const {
  const auto block = static_cast<std::uint32_t>(sample);
  const std::uint32_t word = key(AugmentDraw::mask_width).draw(record, block)[0];
  return mask_shortest + choose(word, mask_longest - mask_shortest + 1);
}

RecordPlan plan_record(const AugmentSpec& spec, std::uint32_t record, std::int64_t length,
                       std::int64_t crop) {
  const auto draw = [&](AugmentDraw operation, std::uint32_t block = 0) {
    return spec.key(operation).draw(record, block);
  };
  RecordPlan plan;
  plan.start = plan.partner_start = (length - crop) / 2;
  if (spec.crop) {
    const Philox::Words words = draw(AugmentDraw::crop);
    plan.start = choose(words[0], length - crop + 1);
    plan.partner_start = choose(words[1], length - crop + 1);
  }
  if (spec.shift > 0.0) {
    const Philox::Words words = draw(AugmentDraw::shift);
    const auto delay = [&](std::uint32_t decides, std::uint32_t word) {
      if (unit(decides) >= spec.shift) return std::int64_t{0};
      return choose(word, 2 * spec.shift_most + 1) - spec.shift_most;
    };
    plan.delay = delay(words[0], words[1]);
    plan.partner_delay = delay(words[2], words[3]);
  }
  if (spec.amplitude > 0.0) {
    const Philox::Words words = draw(AugmentDraw::amplitude);
    const double range = spec.amplitude_high - spec.amplitude_low;
    if (unit(words[0]) < spec.amplitude) plan.factor = spec.amplitude_low + range * unit(words[1]);
  }
  if (spec.wander > 0.0) {
    const Philox::Words words = draw(AugmentDraw::wander);
    if (unit(words[0]) < spec.wander) plan.wander_mv = spec.wander_mv * unit(words[1]);
    const Philox::Words frequencies = draw(AugmentDraw::wander, 1);
    const Philox::Words phases = draw(AugmentDraw::wander, 2);
    for (std::size_t i = 0; i < plan.wander.size(); ++i) {
      const double hz = wander_lowest + (wander_highest - wander_lowest) * unit(frequencies[i]);
      plan.wander[i] = {phases[i], phase_step(hz, spec.rate)};
    }
  }
  if (spec.hum > 0.0) {
    const Philox::Words words = draw(AugmentDraw::hum);
    if (unit(words[0]) < spec.hum) plan.hum_mv = spec.hum_mv * unit(words[1]);
    plan.hum = {words[2], phase_step(spec.hum_hz, spec.rate)};
  }
  plan.masked = spec.mask > 0.0 && unit(draw(AugmentDraw::mask)[0]) < spec.mask;
  return plan;
}

void plan_leads(const AugmentSpec& spec, const RecordPlan& plan, std::uint32_t record,
                std::int64_t leads, LeadPlan* plans) {
  const RandomKey dropout = spec.key(AugmentDraw::lead_dropout);
  std::int64_t dropped = 0;
  for (std::int64_t lead = 0; lead < leads; ++lead) {
    LeadPlan& of = plans[lead] = {};
    if (plan.wander_mv > 0.0) {
      of.wander_mv = plan.wander_mv * lead_part(spec.key(AugmentDraw::wander), record, 3, lead);
    }
    if (plan.hum_mv > 0.0) {
      of.hum_mv = plan.hum_mv * lead_part(spec.key(AugmentDraw::hum), record, 1, lead);
    }
    if (spec.lead_dropout > 0.0) {
      const Philox::Words words = dropout.draw(record, static_cast<std::uint32_t>(lead / 4));
      of.dropped = unit(words[static_cast<std::size_t>(lead % 4)]) < spec.lead_dropout;
      dropped += of.dropped ? 1 : 0;
    }
  }
  if (leads > 0 && dropped == leads) {
    plans[choose(dropout.draw(record, kept_lead_block)[0], leads)].dropped = false;
  }
}

Mixup draw_mixup(const AugmentSpec& spec, std::uint32_t record, std::int64_t candidates) {
  const RandomKey key = spec.key(AugmentDraw::mixup_share);
  std::uint32_t block = 0;
  const double a = log_gamma_variate(key, record, spec.mixup, block);
  const double b = log_gamma_variate(key, record, spec.mixup, block);
  const std::uint32_t word = spec.key(AugmentDraw::mixup_partner).draw(record, 0)[0];
  return {choose(word, candidates), static_cast<float>(1.0 / (1.0 + std::exp(b - a)))};
}

}  // namespace cardiograd
