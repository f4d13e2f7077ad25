// Layers of attention beyond their golden values: dropout, what is refused, the operations counted.
#include <gtest/gtest.h>

#include "nn/flop_meter.h"
#include "nn/random.h"
#include "nn/state_dict.h"
#include "nn/transformer.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;

class AttentionLayers : public ::testing::Test {
 protected:
  Tensor drawn(const Dims& dims) {
    return context_.tensor(dims, random_.normal(dims.numel(), 0.0F, 1.0F));
  }

  std::shared_ptr<Backend> backend_ = make_backend("cpu");
  TorchGenerator random_{1};
  BuildContext context_{backend_, DType::f32, &random_};
};

std::vector<std::string> names_of(const Module& module) {
  std::vector<std::string> names;
  for (const StateEntry& entry : state_dict(module)) names.push_back(entry.name);
  return names;
}

TEST_F(AttentionLayers, HaveTheNamesOfPyTorch) {
  EXPECT_EQ(names_of(MultiheadAttention(context_, 4, 2)),
            (std::vector<std::string>{"in_proj_weight", "in_proj_bias", "out_proj.weight",
                                      "out_proj.bias"}));
  EXPECT_EQ(names_of(TransformerEncoder(context_, 2, {4, 2, 8, 0.1})).at(12),
            "layers.1.self_attn.in_proj_weight");
  EXPECT_EQ(names_of(TransformerDecoder(context_, 1, {4, 2, 8, 0.1})).at(4),
            "layers.0.multihead_attn.in_proj_weight");
}

TEST_F(AttentionLayers, DropoutActsInTrainingAlone) {
  MultiheadAttention layer(context_, 8, 2, 0.5);
  const Tensor x = drawn({2, 6, 8});
  const auto run = [&](std::uint32_t epoch) {
    const RandomScope scope(3, epoch);
    return layer(x, x, x).to_vector<float>();
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
  EXPECT_TRUE(error_of([&] {
                layer(x, x, x);
              }).starts_with("a random operation ran in training mode outside a RandomScope"));
  layer.eval();
  EXPECT_EQ(run(1), run(2));
  layer.dropout = 0.0;
  layer.train();
  const std::vector<float> without = run(1);
  layer.eval();
  EXPECT_EQ(run(1), without);
}

TEST_F(AttentionLayers, RefuseSizesThatDoNotFit) {
  EXPECT_EQ(error_of([&] { MultiheadAttention(context_, 10, 4); }),
            "attention: 4 heads do not divide a width of 10");
  EXPECT_EQ(error_of([&] { MultiheadAttention(context_, 10, 0); }),
            "attention: 0 heads do not divide a width of 10");
  EXPECT_EQ(error_of([&] { MultiheadAttention(context_, 10, 5, -0.5); }),
            "a dropout probability must lie in [0, 1], got -0.500000");
  EXPECT_EQ(error_of([] { Upsample(0); }), "an upsampling factor is at least 1, got 0");
}

// Two products forward, five backward; a multiply-add counts as two.
TEST_F(AttentionLayers, AreCountedByTheFlopMeter) {
  Tensor q = drawn({2, 3, 8});
  const Tensor k = drawn({2, 5, 8});
  q.set_requires_grad(true);
  const FlopMeter meter;
  const Tensor y = attention(q, k, k, {.heads = 2});
  constexpr double product = 2.0 * 2 * 3 * 5 * 8;
  EXPECT_EQ(meter.flops(), 2 * product);
  y.backward(drawn({2, 3, 8}));
  EXPECT_EQ(meter.flops(), 7 * product);
}

}  // namespace
}  // namespace cardiograd
