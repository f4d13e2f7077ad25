// The seed's models against PyTorch's, from the initial values of one seed: logits, first
// gradients, the losses of twelve RMSprop steps, and the logits after them.
#include <algorithm>
#include <gtest/gtest.h>

#include "models/registry.h"
#include "nn/ops.h"
#include "nn/optimizer.h"
#include "nn/tape.h"
#include "tests/support/golden.h"

namespace cardiograd {
namespace {

using testing::GoldenFile;
using testing::normalised_squared_error;
using testing::relative_difference;

constexpr std::int64_t length = 60;
constexpr double logit_tolerance = 3e-6;
constexpr double loss_tolerance = 1e-5;

class Models : public ::testing::TestWithParam<const char*> {
 protected:
  Models() : inputs_{golden_.sequence("signal"), golden_.tensor("notes")} {
    const std::size_t dot = name_.find('.');
    const std::string variant = dot == std::string::npos ? "" : name_.substr(dot + 1);
    options_.name = name_.substr(0, dot);
    options_.length = length;
    options_.batch_norm = variant == "batch_norm";
    if (variant == "signal") inputs_.notes = {};
    if (variant == "notes") inputs_.signal = {};
    model_ = find_model(options_.name).make({backend_, DType::f32, &random_}, options_);
  }

  void expect_logits(const Tensor& logits, const std::string& which, double tolerance) {
    EXPECT_LE(relative_difference(logits.to_vector<float>(), golden_.values(name_ + which)),
              tolerance)
        << which;
  }

  void expect_gradients() {
    int compared = 0;
    for (const NamedTensor& parameter : model_->parameters()) {
      const std::string full = name_ + ".grad." + parameter.name;
      if (!golden_.contains(full)) continue;
      ++compared;
      EXPECT_LE(normalised_squared_error(
                    to_torch(parameter.tensor.grad(), parameter.layout).to_vector<float>(),
                    golden_.values(full)),
                1e-10)
          << full;
    }
    EXPECT_GE(compared, 3);
  }

  const std::string name_ = GetParam();
  std::shared_ptr<Backend> backend_ = make_backend("cpu");
  GoldenFile golden_{"models.safetensors", backend_};
  TorchGenerator random_{7};
  ModelInputs inputs_;
  ModelOptions options_;
  std::unique_ptr<Classifier> model_;
};

TEST_P(Models, FollowPyTorch) {
  model_->eval();
  expect_logits(model_->forward(inputs_), ".logits_eval", logit_tolerance);
  model_->train();
  FlatParameters parameters(*model_);
  OptimizerOptions spec = optimizer_defaults("rmsprop");
  spec.lr = double{golden_.values(name_ + ".lr").front()};
  Optimizer optimizer(spec, parameters);
  const Tensor labels = golden_.tensor("labels");
  const std::vector<float> expected = golden_.values(name_ + ".losses");
  std::vector<float> losses;
  for (std::size_t step = 0; step < expected.size(); ++step) {
    parameters.zero_grad();
    const Tensor logits = model_->forward(inputs_);
    const Tensor loss = bce_with_logits(logits, labels);
    loss.backward();
    if (step == 0) {
      expect_logits(logits, ".logits_train", logit_tolerance);
      expect_gradients();
    }
    optimizer.step();
    losses.push_back(static_cast<float>(loss.item()));
  }
  for (std::size_t step = 0; step < expected.size(); ++step) {
    EXPECT_NEAR(losses[step], expected[step], loss_tolerance * expected[step]) << step;
  }
  EXPECT_LT(losses.back(), 0.99F * losses.front());
  model_->eval();
  expect_logits(model_->forward(inputs_), ".logits_after", 1e-4);
}

TEST(GoldenModels, HoldEveryRegisteredModel) {
  const GoldenFile golden("models.safetensors", make_backend("cpu"));
  for (const ModelEntry& entry : model_registry()) {
    EXPECT_TRUE(golden.contains(entry.name + ".losses")) << entry.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Seed, Models,
                         ::testing::Values("cnn", "mmcnn_sum", "mmcnn_cat", "cnn.batch_norm",
                                           "mmcnn_sum.batch_norm", "mmcnn_sum.signal",
                                           "mmcnn_sum.notes", "mmcnn_att", "mmcnn_sum_att",
                                           "transformer", "transformer.signal", "transformer.notes",
                                           "rnn", "mmrnn"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace cardiograd
