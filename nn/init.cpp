#include "nn/init.h"

#include <cmath>
#include <numbers>

namespace cardiograd {

std::vector<float> TorchGenerator::uniform(std::int64_t count, float low, float high) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    const auto bits = static_cast<float>(engine_() & 0xffffffU);
    value = std::fma(bits * 0x1p-24F, high - low, low);
  }
  return values;
}

std::vector<float> TorchGenerator::normal(std::int64_t count, float mean, float std) {
  constexpr std::int64_t block = 16;
  constexpr double two_pi = 2.0 * std::numbers::pi;
  std::vector<float> values;
  if (count < block) {
    const auto uniform53 = [this] {
      const std::uint64_t high = engine_();
      const std::uint64_t low = engine_();
      return static_cast<double>(((high << 32) | low) & ((1ULL << 53) - 1)) * 0x1p-53;
    };
    for (std::int64_t i = 0; i < count; ++i) {
      if (has_spare_) {
        has_spare_ = false;
        values.push_back(static_cast<float>(spare_ * double{std} + double{mean}));
        continue;
      }
      const double u1 = uniform53();
      const double u2 = uniform53();
      const double radius = std::sqrt(-2.0 * std::log1p(-u2));
      spare_ = radius * std::sin(two_pi * u1);
      has_spare_ = true;
      values.push_back(
          static_cast<float>(radius * std::cos(two_pi * u1) * double{std} + double{mean}));
    }
    return values;
  }
  values = uniform(count, 0.0F, 1.0F);
  const auto transform = [&](std::int64_t at) {
    for (std::int64_t j = at; j < at + block / 2; ++j) {
      float& first = values[static_cast<std::size_t>(j)];
      float& second = values[static_cast<std::size_t>(j + block / 2)];
      const float radius = std::sqrt(-2.0F * std::log(1.0F - first));
      const float theta = static_cast<float>(two_pi) * second;
      first = radius * std::cos(theta) * std + mean;
      second = radius * std::sin(theta) * std + mean;
    }
  };
  for (std::int64_t at = 0; at + block <= count; at += block) transform(at);
  if (count % block != 0) {  // the last 16 values are drawn anew
    const std::vector<float> tail = uniform(block, 0.0F, 1.0F);
    std::copy(tail.begin(), tail.end(), values.end() - block);
    transform(count - block);
  }
  return values;
}

namespace {

std::vector<float> symmetric(TorchGenerator& generator, std::int64_t count, double bound) {
  return generator.uniform(count, static_cast<float>(-bound), static_cast<float>(bound));
}

}  // namespace

std::vector<float> xavier_weight(TorchGenerator& generator, std::int64_t outputs,
                                 std::int64_t inputs) {
  const double std = std::sqrt(2.0 / static_cast<double>(inputs + outputs));
  return symmetric(generator, outputs * inputs, std::sqrt(3.0) * std);
}

std::vector<float> default_weight(TorchGenerator& generator, std::int64_t count,
                                  std::int64_t fan_in) {
  if (fan_in == 0) return std::vector<float>(static_cast<std::size_t>(count), 0.0F);
  const double gain = std::sqrt(2.0 / (1.0 + 5.0));
  const double std = gain / std::sqrt(static_cast<double>(fan_in));
  return symmetric(generator, count, std::sqrt(3.0) * std);
}

std::vector<float> default_bias(TorchGenerator& generator, std::int64_t count,
                                std::int64_t fan_in) {
  if (fan_in == 0) return std::vector<float>(static_cast<std::size_t>(count), 0.0F);
  return symmetric(generator, count, 1.0 / std::sqrt(static_cast<double>(fan_in)));
}

}  // namespace cardiograd
