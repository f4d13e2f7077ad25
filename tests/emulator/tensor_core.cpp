// mma.sync and ldmatrix: the fragments of a warp put together, multiplied, and taken apart.
#include <cstring>

#include "tests/emulator/device.h"

namespace cardiograd::cuda {
namespace {

constexpr std::uint32_t below_tf32 = 0x1fff;

bool is_finite(std::uint32_t bits) { return (bits & 0x7f800000U) != 0x7f800000U; }

// A register holds two bf16 or one TF32.
template <bool tf32>
float element_of(std::uint32_t word, int which) {
  if (tf32) return std::bit_cast<float>(word);
  return std::bit_cast<float>(which == 0 ? word << 16 : word & 0xffff0000U);
}

struct Fragments {
  float (*d)[4];
  const std::uint32_t (*a)[4];
  const std::uint32_t (*b)[2];
};

template <bool tf32>
void multiply(void* const (&payloads)[32], std::uint32_t) {
  constexpr int each = tf32 ? 1 : 2;
  constexpr int depth = each * 8;
  float a[16][depth];
  float b[depth][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& from = *static_cast<const Fragments*>(payloads[lane]);
    const int g = lane / 4;
    const int t = lane % 4 * each;
    for (int i = 0; i < each; ++i) {
      for (int part = 0; part < 4; ++part) {
        a[g + part % 2 * 8][t + part / 2 * (depth / 2) + i] = element_of<tf32>((*from.a)[part], i);
      }
      for (int part = 0; part < 2; ++part) {
        b[t + part * (depth / 2) + i][g] = element_of<tf32>((*from.b)[part], i);
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    const auto& to = *static_cast<const Fragments*>(payloads[lane]);
    for (int part = 0; part < 4; ++part) {
      const int row = lane / 4 + part / 2 * 8;
      const int column = 2 * (lane % 4) + part % 2;
      float sum = 0.0F;
      for (int k = 0; k < depth; ++k) sum += a[row][k] * b[k][column];
      (*to.d)[part] += sum;
    }
  }
}

template <std::size_t n>
void check_rounded(const std::uint32_t (&operand)[n], Location where) {
  for (const std::uint32_t bits : operand) {
    if (is_finite(bits) && (bits & below_tf32) != 0) {
      emulator::stop("an operand of mma_tf32 is not rounded by tf32_bits", where);
    }
  }
}

struct MatrixRows {
  const std::uint16_t* row;
  std::uint32_t* registers;
};

template <int matrices, bool transposed>
void distribute(void* const (&payloads)[32], std::uint32_t) {
  for (int matrix = 0; matrix < matrices; ++matrix) {
    std::uint16_t elements[8][8];
    for (int row = 0; row < 8; ++row) {
      const auto& from = *static_cast<const MatrixRows*>(payloads[8 * matrix + row]);
      std::memcpy(elements[row], from.row, 16);
    }
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4;
      const int t = 2 * (lane % 4);
      const std::uint32_t low = transposed ? elements[t][g] : elements[g][t];
      const std::uint32_t high = transposed ? elements[t + 1][g] : elements[g][t + 1];
      static_cast<const MatrixRows*>(payloads[lane])->registers[matrix] = low | high << 16;
    }
  }
}

template <int matrices, bool transposed>
void load_matrices(std::uint32_t* registers, const void* row, Location where) {
  if (lane_of() < 8 * matrices) {
    check_alignment(static_cast<const unsigned char*>(row), 16, where);
  }
  MatrixRows mine{static_cast<const std::uint16_t*>(row), registers};
  emulator::warp_meeting("load_matrix", full_warp, &mine, distribute<matrices, transposed>, where);
}

}  // namespace

void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              Location where) {
  Fragments mine{&d, &a, &b};
  emulator::warp_meeting("mma_bf16", full_warp, &mine, multiply<false>, where);
}

void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
              Location where) {
  check_rounded(a, where);
  check_rounded(b, where);
  Fragments mine{&d, &a, &b};
  emulator::warp_meeting("mma_tf32", full_warp, &mine, multiply<true>, where);
}

// To add half of what falls away rounds the magnitude, and carries into the exponent.
std::uint32_t tf32_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return is_finite(bits) ? (bits + (below_tf32 + 1) / 2) & ~below_tf32 : bits;
}

void load_matrix_x4(std::uint32_t (&r)[4], const void* row, Location where) {
  load_matrices<4, false>(r, row, where);
}
void load_matrix_x4_transposed(std::uint32_t (&r)[4], const void* row, Location where) {
  load_matrices<4, true>(r, row, where);
}
void load_matrix_x2(std::uint32_t (&r)[2], const void* row, Location where) {
  load_matrices<2, false>(r, row, where);
}
void load_matrix_x2_transposed(std::uint32_t (&r)[2], const void* row, Location where) {
  load_matrices<2, true>(r, row, where);
}

}  // namespace cardiograd::cuda
