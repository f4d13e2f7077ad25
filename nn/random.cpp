#include "nn/random.h"

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

namespace cardiograd {

namespace {

thread_local RandomScope* innermost = nullptr;

}  // namespace

RandomScope::RandomScope(std::uint64_t seed, std::uint32_t epoch, Tensor records)
    : key_{seed, epoch, 0}, records_(std::move(records)), outer_(innermost) {
  innermost = this;
}

RandomScope::~RandomScope() { innermost = outer_; }

RandomKey RandomScope::next_key() {
  if (!innermost) {
    throw Error(
        "a random operation ran in training mode outside a RandomScope: open one with the "
        "run's seed and epoch, or call eval() on the module");
  }
  const RandomKey key = innermost->key_;
  ++innermost->key_.operation;
  return key;
}

Tensor standard_normal(const std::shared_ptr<Backend>& backend, const Dims& dims,
                       const RandomKey& key) {
  const std::int64_t rows = dims.rank() == 0 ? 1 : dims[0];
  const std::int64_t size = rows == 0 ? 0 : dims.numel() / rows;
  std::vector<float> values(static_cast<std::size_t>(rows * size));
  // In (0, 1], so that the logarithm is finite.
  const auto positive = [](std::uint32_t word) {
    return (static_cast<double>(word) + 1.0) * 0x1p-32;
  };
  for (std::int64_t row = 0; row < rows; ++row) {
    float* out = values.data() + row * size;
    for (std::int64_t i = 0; i < size; i += 4) {
      const Philox::Words words =
          key.draw(static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(i / 4));
      for (std::int64_t pair = 0; pair < 4 && i + pair < size; pair += 2) {
        const auto at = static_cast<std::size_t>(pair);
        const double radius = std::sqrt(-2.0 * std::log(positive(words[at])));
        const double angle = 2.0 * std::numbers::pi * positive(words[at + 1]);
        out[i + pair] = static_cast<float>(radius * std::cos(angle));
        if (i + pair + 1 < size) out[i + pair + 1] = static_cast<float>(radius * std::sin(angle));
      }
    }
  }
  return Tensor::from_host<float>(backend, dims, DType::f32, values);
}

Tensor RandomScope::records() { return innermost ? innermost->records_ : Tensor(); }

}  // namespace cardiograd
