// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011): the same (key, counter) gives the same four words on every device.
#pragma once

#include <array>
#include <cstdint>

namespace cardiograd {

struct Philox {
  using Words = std::array<std::uint32_t, 4>;

  static constexpr Words draw(Words counter, std::uint32_t key0, std::uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t low = std::uint64_t{0xD2511F53U} * counter[0];
      const std::uint64_t high = std::uint64_t{0xCD9E8D57U} * counter[2];
      counter = {static_cast<std::uint32_t>(high >> 32) ^ counter[1] ^ key0,
                 static_cast<std::uint32_t>(high),
                 static_cast<std::uint32_t>(low >> 32) ^ counter[3] ^ key1,
                 static_cast<std::uint32_t>(low)};
      key0 += 0x9E3779B9U;
      key1 += 0xBB67AE85U;
    }
    return counter;
  }

  // [0, 1): the upper 24 bits, so that every value is exact in float32.
  static constexpr float uniform(std::uint32_t word) {
    return static_cast<float>(word >> 8) * 0x1p-24F;
  }
};

// Where a random draw belongs. A draw depends on these four and on the element inside the record,
// so it is the same on any device, any number of ranks, and after a resume.
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
  std::uint32_t operation = 0;  // which random operation of the forward pass

  // The four words of draw number `block` of `record`.
  constexpr Philox::Words draw(std::uint32_t record, std::uint32_t block) const {
    return Philox::draw({block, record, epoch, operation}, static_cast<std::uint32_t>(seed),
                        static_cast<std::uint32_t>(seed >> 32));
  }
};

}  // namespace cardiograd
