// Initial values, bit-equal to PyTorch's on a CPU with fused multiply-add (any with AVX2): the same
// seed, the same order of construction, the same numbers.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace cardiograd {

// The stream of torch.manual_seed(seed): a 32-bit Mersenne Twister (Matsumoto & Nishimura 1998).
class TorchGenerator {
 public:
  explicit TorchGenerator(std::uint64_t seed) : engine_(static_cast<std::uint32_t>(seed)) {}

  // torch.Tensor.uniform_(low, high) in float32: 24 random bits a value,
  // scaled and shifted with one rounding.
  std::vector<float> uniform(std::int64_t count, float low, float high);
  // torch.Tensor.normal_(mean, std) in float32: Box-Muller on blocks of 16 values for 16 and more,
  // on pairs of doubles for fewer. The blocks agree to a few units in the last place: PyTorch's
  // vectorised logarithm, sine and cosine are approximations.
  std::vector<float> normal(std::int64_t count, float mean, float std);

 private:
  std::mt19937 engine_;
  bool has_spare_ = false;  // the second value of a pair waits for the next short draw
  double spare_ = 0.0;
};

// xavier_uniform_ (Glorot & Bengio 2010) for a matrix [outputs, inputs].
std::vector<float> xavier_weight(TorchGenerator& generator, std::int64_t outputs,
                                 std::int64_t inputs);

// The defaults of nn.Linear and nn.Conv1d: kaiming_uniform_(a = sqrt(5)) for the weight (He et al.
// 2015), and U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for the bias. Both are the same interval; the
// bounds are computed as PyTorch computes each, so that the last bit agrees.
std::vector<float> default_weight(TorchGenerator& generator, std::int64_t count,
                                  std::int64_t fan_in);
std::vector<float> default_bias(TorchGenerator& generator, std::int64_t count, std::int64_t fan_in);

}  // namespace cardiograd
