// Losses against their papers' formulas in PyTorch (make_loss_golden.py).
#include <gtest/gtest.h>

#include "nn/ops.h"
#include "tests/support/golden.h"

namespace cardiograd {
namespace {

using testing::GoldenFile;
using testing::relative_difference;

TEST(Losses, SmoothedFocalAndAsymmetricAreTheirPapers) {
  const GoldenFile golden("losses.safetensors", make_backend("cpu"));
  const auto expect_loss = [&](const std::string& name, const BceSpec& spec) {
    Tensor logits = golden.tensor("logits");
    logits.set_requires_grad(true);
    const Tensor loss = bce_with_logits(logits, golden.tensor("targets"), {}, spec);
    loss.backward();
    EXPECT_LE(relative_difference(loss.to_vector<float>(), golden.values(name)), 1e-6) << name;
    EXPECT_LE(
        relative_difference(logits.grad().to_vector<float>(), golden.values(name + ".gradient")),
        2e-6)
        << name;
  };
  expect_loss("smoothed", {.smoothing = 0.1});
  expect_loss("focal",
              {.gamma_positive = 2, .gamma_negative = 2, .positive = 0.25, .negative = 0.75});
  expect_loss("asymmetric", {.gamma_positive = 1, .gamma_negative = 4, .margin = 0.05});
}

}  // namespace
}  // namespace cardiograd
