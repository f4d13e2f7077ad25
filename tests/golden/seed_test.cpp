// The seed's own mmcnn_cat and mmrnn, with weights that its PyTorch saved: logits, the first step's
// gradients, five steps of the seed's optimizer, and the probabilities of one record.
#include <cmath>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "models/registry.h"
#include "nn/ops.h"
#include "nn/optimizer.h"
#include "nn/tape.h"
#include "nn/weights_file.h"
#include "tests/support/golden.h"
#include "tests/support/shared_data.h"

namespace cardiograd {
namespace {

using testing::normalised_squared_error;
using testing::shared_path;

const std::string folder = "golden/seed";

// Rounding decides which of two nearly equal values a max-pool takes, and so where its gradient
// goes: PyTorch's float32 gradient of conv1.weight is 8e-8 away from its own float64 one.
constexpr double near_tie = 1e-7;

struct SeedModel {
  std::string saved;  // the seed's name
  std::string name;   // ours
  std::string optimizer;
  double lr;
  int gradients;  // how many are known
};

class Seed : public ::testing::TestWithParam<SeedModel> {
 protected:
  void SetUp() override {
    CARDIOGRAD_NEEDS_SHARED(folder);
    golden_ = std::make_unique<SafetensorsFile>(shared_path(folder + "/expected.safetensors"));
    std::ifstream file(shared_path(folder + "/expected.json"));
    expected_ = nlohmann::json::parse(file).at("models").at(tested_.saved);
    TorchGenerator random(0);
    ModelOptions options;
    options.name = tested_.name;
    model_ = find_model(options.name).make({backend_, DType::f32, &random}, options);
    const std::string weights = "model_" + tested_.saved + ".pt";
    load_state_dict(*model_, read_weights(shared_path(folder + "/" + weights), backend_), weights);
    model_->eval();  // the expected values are of evaluation mode
    inputs_ = {tensor("signal_mv"), tensor("notes")};
  }

  Tensor tensor(const std::string& name) const {
    return Tensor::borrow(backend_, golden_->view(name), backend_);
  }
  std::vector<float> values(const std::string& name) const {
    return tensor(name).to_vector<float>();
  }

  const SeedModel tested_ = GetParam();
  std::shared_ptr<Backend> backend_ = make_backend("cpu");
  std::unique_ptr<SafetensorsFile> golden_;
  nlohmann::json expected_;
  std::unique_ptr<Classifier> model_;
  ModelInputs inputs_;
};

TEST_P(Seed, Logits) {
  const NoGradScope no_grad;
  const std::vector<float> logits = model_->forward(inputs_).to_vector<float>();
  const std::vector<float> expected = values(tested_.saved + ".logits_eval");
  ASSERT_EQ(logits.size(), expected.size());
  for (std::size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 1e-5) << i;
  const auto& probabilities = expected_.at("prob_record_1");
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    EXPECT_NEAR(1.0 / (1.0 + std::exp(-double{logits[i]})), probabilities[i].get<double>(), 1e-5);
  }
}

TEST_P(Seed, ParameterCount) {
  EXPECT_EQ(model_->parameter_count(), expected_.at("params").get<std::int64_t>());
}

TEST_P(Seed, FirstGradients) {
  bce_with_logits(model_->forward(inputs_), tensor("labels")).backward();
  int compared = 0;
  for (const NamedTensor& parameter : model_->parameters()) {
    const std::string full = tested_.saved + ".grad." + parameter.name;
    if (!golden_->contains(full)) continue;
    ++compared;
    const auto actual = to_torch(parameter.tensor.grad(), parameter.layout).to_vector<float>();
    const bool behind_pooling = parameter.name.rfind("conv", 0) == 0;
    EXPECT_LE(normalised_squared_error(actual, values(full)), behind_pooling ? near_tie : 1e-10)
        << full;
  }
  EXPECT_EQ(compared, tested_.gradients);
}

TEST_P(Seed, FiveSteps) {
  FlatParameters parameters(*model_);
  OptimizerOptions spec = optimizer_defaults(tested_.optimizer);
  spec.lr = tested_.lr;
  Optimizer optimizer(spec, parameters);
  for (const auto& expected : expected_.at("losses_5_steps_eval_mode")) {
    parameters.zero_grad();
    const Tensor loss = bce_with_logits(model_->forward(inputs_), tensor("labels"));
    loss.backward();
    optimizer.step();
    EXPECT_NEAR(loss.item() / expected.get<double>(), 1.0, 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Seed,
                         ::testing::Values(SeedModel{"MMCNN_CAT", "mmcnn_cat", "rmsprop", 1e-4, 12},
                                           SeedModel{"MMRNN", "mmrnn", "adam", 1e-2, 16}),
                         [](const auto& tested) { return tested.param.saved; });

}  // namespace
}  // namespace cardiograd
