// Initial values against PyTorch's, bit by bit.
#include <bit>
#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>

#include "models/registry.h"
#include "nn/state_dict.h"
#include "nn/transformer.h"
#include "tests/support/golden.h"

namespace cardiograd {
namespace {

using testing::GoldenFile;

constexpr std::int64_t model_length = 60;

// make_golden.py's checksum().
std::uint64_t checksum(const std::vector<float>& values) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum += (2 * i + 1) * std::bit_cast<std::uint32_t>(values[i]);
  }
  return sum;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class Initial : public ::testing::Test {
 protected:
  std::shared_ptr<Backend> backend_ = make_backend("cpu");
  GoldenFile golden_{"init.safetensors", backend_};

  void expect_same_bits(const Module& module, const std::string& name) {
    for (const StateEntry& entry : state_dict(module)) {
      const std::string full = name + "." + entry.name;
      EXPECT_EQ(entry.value.dims(), golden_.file().view(full).dims) << full;
      EXPECT_TRUE(same_bits(entry.value.to_vector<float>(), golden_.values(full))) << full;
    }
  }
};

TEST_F(Initial, LayersInARow) {
  TorchGenerator random(3);
  const BuildContext context{backend_, DType::f32, &random};
  expect_same_bits(Conv1d(context, 3, 4, 5), "row.conv");
  expect_same_bits(Linear(context, 7, 3), "row.linear");
  expect_same_bits(Conv1d(context, 6, 9, 3, {.groups = 3}), "row.groups");
  expect_same_bits(Conv1d(context, 2, 3, 2, {}, false), "row.no_bias");
  expect_same_bits(Linear(context, 5, 2), "row.last");
}

TEST_F(Initial, AttentionLayersInARow) {
  TorchGenerator random(10);
  const BuildContext context{backend_, DType::f32, &random};
  const TransformerOptions options{12, 3, 20, 0.1};
  expect_same_bits(MultiheadAttention(context, 12, 3), "attention.mha");
  expect_same_bits(TransformerEncoderLayer(context, options), "attention.encoder");
  expect_same_bits(TransformerDecoderLayer(context, options), "attention.decoder");
  const Embedding embedding(context, 7, 5);
  EXPECT_LE(testing::relative_difference(embedding.weight.to_vector<float>(),
                                         golden_.values("attention.embedding.weight")),
            3e-7);
  expect_same_bits(Linear(context, 5, 2), "attention.last");
}

TEST_F(Initial, WholeModels) {
  for (const std::string name :
       {"cnn", "mmcnn_sum", "mmcnn_cat", "cnn.batch_norm", "mmcnn_sum.batch_norm", "mmcnn_att",
        "mmcnn_sum_att", "transformer", "rnn", "mmrnn"}) {
    const std::size_t dot = name.find('.');
    TorchGenerator random(7);
    ModelOptions options;
    options.name = name.substr(0, dot);
    options.length = model_length;
    options.batch_norm = dot != std::string::npos;
    const auto model = find_model(options.name).make({backend_, DType::f32, &random}, options);
    for (const NamedTensor& parameter : model->parameters()) {
      if (parameter.name == "embedding.weight") continue;  // normal draws agree but for rounding
      const std::string full = name + "." + parameter.name;
      std::uint64_t expected = 0;
      std::memcpy(&expected, golden_.file().view(full, DType::i32, {2}).data, sizeof expected);
      EXPECT_EQ(checksum(to_torch(parameter.tensor, parameter.layout).to_vector<float>()), expected)
          << full;
    }
  }
}

TEST_F(Initial, Uniform) {
  TorchGenerator random((1ULL << 31) + 5);
  EXPECT_TRUE(same_bits(random.uniform(37, -0.3F, 1.7F), golden_.values("uniform")));
}

// 16 and more values go through PyTorch's approximate logarithm, sine and cosine.
void expect_normal(const std::vector<float>& actual, const std::vector<float>& expected) {
  if (actual.size() < 16) {
    EXPECT_TRUE(same_bits(actual, expected)) << actual.size();
  } else {
    EXPECT_LE(testing::relative_difference(actual, expected), 3e-7) << actual.size();
  }
}

TEST_F(Initial, Normal) {
  for (const std::int64_t count : {5, 16, 35}) {
    TorchGenerator random(4);
    expect_normal(random.normal(count, 0.5F, 2.0F),
                  golden_.values("normal." + std::to_string(count)));
  }
}

TEST_F(Initial, NormalKeepsTheSpareValueForTheNextShortDraw) {
  TorchGenerator random(5);
  int i = 0;
  for (const std::int64_t count : {5, 3, 20, 4}) {
    expect_normal(random.normal(count, 0.0F, 1.0F),
                  golden_.values("normal.row." + std::to_string(i++)));
  }
}

}  // namespace
}  // namespace cardiograd
