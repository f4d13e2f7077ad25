// What the table of operation cases does not see of attention and embedding on the CPU: the same
// bits on any number of threads and in any batch, and errors.
#include <cstring>
#include <gtest/gtest.h>
#include <omp.h>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/support/random_values.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using Floats = std::vector<float>;
using testing::error_of;

Floats drawn(const Dims& dims, std::uint64_t seed) {
  const std::vector<double> values = testing::uniform_values(dims.numel(), -1.0, 1.0, seed);
  return {values.begin(), values.end()};
}

View view(Floats& values, const Dims& dims) { return {values.data(), DType::f32, dims}; }

bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Attention of [N, length, width] to itself, forward and backward.
struct SelfAttention {
  Dims dims;
  Floats q, k, v, dy;
  Floats y, lse, dq, dk, dv;
  AttentionSpec spec{4, false, 0.3, {7, 1, 2}};

  explicit SelfAttention(const Dims& shape)
      : dims(shape), q(drawn(dims, 1)), k(drawn(dims, 2)), v(drawn(dims, 3)), dy(drawn(dims, 4)) {
    for (Floats* each : {&y, &dq, &dk, &dv}) each->resize(q.size());
    lse.resize(static_cast<std::size_t>(lse_dims().numel()));
  }
  Dims lse_dims() const { return {dims[0], spec.heads, dims[1]}; }

  void run(Backend& backend, const AttentionMasks& masks) {
    backend.attention_forward(spec, masks, view(q, dims), view(k, dims), view(v, dims),
                              view(y, dims), view(lse, lse_dims()));
    backend.attention_backward(spec, masks, view(q, dims), view(k, dims), view(v, dims),
                               view(y, dims), view(lse, lse_dims()), view(dy, dims), view(dq, dims),
                               view(dk, dims), view(dv, dims));
  }
  // The part of each result that belongs to record n.
  Floats record(std::int64_t n) const {
    const auto width = static_cast<std::ptrdiff_t>(dims[1] * dims[2]);
    Floats all;
    for (const Floats* each : {&y, &dq, &dk, &dv}) {
      all.insert(all.end(), each->begin() + n * width, each->begin() + (n + 1) * width);
    }
    return all;
  }
};

class CpuAttention : public ::testing::Test {
 protected:
  std::shared_ptr<Backend> cpu_ = make_cpu_backend();
};

TEST_F(CpuAttention, TheNumberOfThreadsDoesNotChangeTheBits) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  SelfAttention one({5, 70, 24});
  one.run(*cpu_, {});
  omp_set_num_threads(3);
  SelfAttention three({5, 70, 24});
  three.run(*cpu_, {});
  omp_set_num_threads(before);
  for (std::int64_t n = 0; n < 5; ++n) EXPECT_TRUE(same_bits(one.record(n), three.record(n))) << n;
}

TEST_F(CpuAttention, ARecordMeetsTheSameDrawsInEveryBatch) {
  const std::vector<std::int32_t> numbers{40, 7};
  SelfAttention both({2, 9, 8});
  both.run(*cpu_, {{}, {}, {numbers.data(), DType::i32, {2}}});
  SelfAttention second({1, 9, 8});
  const auto width = static_cast<std::ptrdiff_t>(second.q.size());
  for (auto [to, from] : {std::pair{&second.q, &both.q},
                          {&second.k, &both.k},
                          {&second.v, &both.v},
                          {&second.dy, &both.dy}}) {
    to->assign(from->begin() + width, from->end());
  }
  second.run(*cpu_, {{}, {}, {numbers.data() + 1, DType::i32, {1}}});
  EXPECT_TRUE(same_bits(second.record(0), both.record(1)));
  second.run(*cpu_, {{}, {}, {numbers.data(), DType::i32, {1}}});
  EXPECT_FALSE(same_bits(second.record(0), both.record(1)));
}

// All of its gradient would be rounding: a single key has probability 1.
TEST_F(CpuAttention, OneKeyGivesItsScoreNoGradient) {
  SelfAttention one({3, 1, 8});
  one.run(*cpu_, {});
  EXPECT_TRUE(same_bits(one.dq, Floats(one.dq.size())));
  EXPECT_TRUE(same_bits(one.dk, Floats(one.dk.size())));
}

TEST_F(CpuAttention, RefusesOperandsThatDoNotFit) {
  SelfAttention x({2, 5, 8});
  const auto error = [&](const auto& change) {
    SelfAttention wrong = x;
    AttentionMasks masks;
    change(wrong, masks);
    const std::string text = error_of([&] { wrong.run(*cpu_, masks); });
    return text.substr(0, text.find(" ("));
  };
  EXPECT_EQ(error([](SelfAttention& a, AttentionMasks&) { a.spec.heads = 3; }),
            "attention: 3 heads do not divide a width of 8");
  EXPECT_EQ(error([](SelfAttention& a, AttentionMasks&) { a.spec.dropout = 1.5; }),
            "attention: a dropout probability lies in [0, 1], got 1.500000");
  const std::vector<std::uint8_t> padding(10);
  EXPECT_EQ(error([&](SelfAttention&, AttentionMasks& m) {
              m.padding = {padding.data(), DType::u8, {5, 2}};
            }),
            "attention padding: shapes [5, 2] and [2, 5] do not fit");
  EXPECT_EQ(error([&](SelfAttention& a, AttentionMasks& m) {
              m.additive = {a.q.data(), DType::f32, {5}};
            }),
            "attention mask: shapes [5] and [5, 5] do not fit");
}

TEST_F(CpuAttention, AnIndexOutsideTheTableIsNamed) {
  Floats weight(12), y(8);
  for (const std::int32_t bad : {3, -1}) {
    const std::vector<std::int32_t> indices{0, bad};
    const ConstView index{indices.data(), DType::i32, {2}};
    const std::string expected =
        "embedding: index " + std::to_string(bad) + " lies outside a table of 3 rows";
    EXPECT_EQ(error_of([&] {
                cpu_->embedding_forward(index, view(weight, {3, 4}), view(y, {2, 4}));
              }),
              expected);
    EXPECT_EQ(error_of([&] {
                cpu_->embedding_backward(index, view(y, {2, 4}), view(weight, {3, 4}));
              }),
              expected);
  }
}

}  // namespace
}  // namespace cardiograd
