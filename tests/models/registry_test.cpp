// The registered models: configs, shapes, counts.
#include "models/registry.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>

#include "nn/flat_parameters.h"
#include "nn/ops.h"
#include "nn/tape.h"
#include "tests/support/temp_folder.h"
#include "trainer/config.h"

namespace cardiograd {
namespace {

std::unique_ptr<Classifier> make(const ModelOptions& options,
                                 const std::shared_ptr<Backend>& backend) {
  TorchGenerator random(0);
  return find_model(options.name).make({backend, DType::f32, &random}, options);
}

TEST(Registry, EveryModelHasAConfig) {
  for (const ModelEntry& entry : model_registry()) {
    const RunConfig config =
        read_config(CARDIOGRAD_SOURCE_DIR "/trainer/configs/seed/" + entry.name + ".toml", {});
    EXPECT_EQ(config.model.name, entry.name);
    EXPECT_EQ(config.reads("signal"), entry.reads_signal) << entry.name;
    EXPECT_EQ(config.reads("notes"), entry.reads_notes) << entry.name;
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
  }
}

TEST(Registry, AnUnknownNameGetsTheNearestOne) {
  EXPECT_EQ(testing::error_of([] { find_model("mmcnn_som"); }),
            "model \"mmcnn_som\" is unknown; did you mean \"mmcnn_sum\"? Known are cnn, mmcnn_sum, "
            "mmcnn_cat, rnn, mmrnn, mmcnn_att, mmcnn_sum_att, transformer");
}

// [2, classes] from two records of `length` samples.
void expect_logits(const ModelEntry& entry, std::int64_t length, bool batch_norm) {
  const auto backend = make_backend("cpu");
  const NoGradScope no_grad;
  ModelOptions options;
  options.name = entry.name;
  options.length = length;
  options.classes = 7;
  options.batch_norm = batch_norm;
  const auto model = make(options, backend);
  ModelInputs inputs;
  if (entry.reads_signal) inputs.signal = Tensor::full(backend, {2, length, 12}, DType::f32, 0.1);
  if (entry.reads_notes) inputs.notes = Tensor::full(backend, {2, 768}, DType::f32, 0.1);
  EXPECT_EQ(model->forward(inputs).dims(), (Dims{2, 7})) << entry.name << " " << length;
}

bool is_recurrent(const ModelEntry& entry) { return entry.name.ends_with("rnn"); }

// Of the convolutional models.
constexpr std::int64_t shortest = 30;

// 5000 samples are ten seconds at 500 Hz.
TEST(Registry, GivesOneLogitAClassForEveryLength) {
  for (const ModelEntry& entry : model_registry()) {
    for (const std::int64_t length : {shortest, std::int64_t{36}, std::int64_t{1000}}) {
      expect_logits(entry, length, false);
    }
    if (is_recurrent(entry)) {
      expect_logits(entry, 1, false);
    } else if (entry.name != "transformer") {
      expect_logits(entry, 36, true);
    }
  }
  expect_logits(model_registry().front(), 5000, false);
}

TEST(Registry, RefusesARecordThatIsTooShort) {
  ModelOptions options;
  for (const ModelEntry& entry : model_registry()) {
    if (entry.name == "transformer") continue;
    options.name = entry.name;
    if (is_recurrent(entry)) {
      options.length = 0;
      EXPECT_EQ(testing::error_of([&] { make(options, make_backend("cpu")); }),
                entry.name + " needs at least one sample a record");
      continue;
    }
    for (const std::int64_t length : {std::int64_t{0}, std::int64_t{1}, shortest - 1}) {
      options.length = length;
      EXPECT_EQ(testing::error_of([&] { make(options, make_backend("cpu")); }),
                "the seed's CNN needs at least 30 samples a record");
    }
  }
}

// Parameters that belong to one input alone are those whose gradient is zero without it.
TEST(Registry, RefusesATransformerWhoseSizesDoNotFit) {
  const auto error = [](const auto& change) {
    ModelOptions options;
    options.name = "transformer";
    change(options);
    return testing::error_of([&] { make(options, make_backend("cpu")); });
  };
  EXPECT_EQ(error([](ModelOptions& o) { o.heads = 7; }),
            "the transformer's model.width 120 is not a multiple of model.heads 7");
  EXPECT_EQ(error([](ModelOptions& o) { o.width = 128, o.heads = 8; }),
            "the transformer's model.width 128 is not a multiple of the 12 leads");
  EXPECT_EQ(error([](ModelOptions& o) { o.length = 3; }),
            "the transformer makes a token of 4 samples (model.token_stride), but a record has 3");
  EXPECT_EQ(error([](ModelOptions& o) { o.layers = 0; }),
            "the transformer needs at least one layer and one level");
  EXPECT_EQ(error([](ModelOptions& o) { o.batch_norm = true; }),
            "transformer has no BatchNorm: set model.batch_norm to false");
  EXPECT_EQ(error([](ModelOptions& o) { o.amplitude = 0.0; }),
            "the transformer's model.amplitude must be greater than 0");
}

TEST(Registry, ATransformerTakesEveryLengthOfATokenOrMore) {
  const auto backend = make_backend("cpu");
  const NoGradScope no_grad;
  for (const std::int64_t length : {4, 5, 1000}) {
    ModelOptions options;
    options.name = "transformer";
    options.length = length;
    options.layers = 1;
    const Tensor signal = Tensor::full(backend, {1, length, 12}, DType::f32, 0.1);
    EXPECT_EQ(make(options, backend)->forward({signal, {}}).dims(), (Dims{1, 5})) << length;
  }
}

TEST(Registry, AnAbsentInputIsNotComputed) {
  const auto backend = make_backend("cpu");
  for (const ModelEntry& entry : model_registry()) {
    if (!entry.reads_signal || !entry.reads_notes) continue;
    ModelOptions options;
    options.name = entry.name;
    options.length = 60;
    const auto model = make(options, backend);
    model->eval();
    FlatParameters parameters(*model);
    TorchGenerator random(3);
    const auto drawn = [&](const Dims& dims) {
      return Tensor::from_host<float>(backend, dims, DType::f32,
                                      random.normal(dims.numel(), 0.0F, 1.0F));
    };
    const Tensor signal = drawn({2, 60, 12});
    const Tensor notes = drawn({2, 768});
    const auto moved = [&](const ModelInputs& inputs) {
      parameters.zero_grad();
      sum(model->forward(inputs)).backward();
      parameters.finish_gradients();
      std::set<std::string> names;
      for (const NamedTensor& parameter : model->parameters()) {
        const std::vector<float> gradient = parameter.tensor.grad().to_vector<float>();
        if (std::any_of(gradient.begin(), gradient.end(), [](float g) { return g != 0.0F; })) {
          names.insert(parameter.name);
        }
      }
      return names;
    };
    const std::set<std::string> both = moved({signal, notes});
    const std::set<std::string> of_signal = moved({signal, {}});
    const std::set<std::string> of_notes = moved({{}, notes});
    for (const auto& [fewer, kept] : {std::pair{of_signal, "signal"}, {of_notes, "notes"}}) {
      EXPECT_LE(fewer.size(), both.size()) << entry.name << " with the " << kept << " alone";
      EXPECT_FALSE(fewer.empty()) << entry.name << " with the " << kept << " alone";
    }
    EXPECT_LT(of_notes.size(), both.size()) << entry.name;
    EXPECT_EQ(of_signal.size() == both.size(), entry.name == "mmcnn_att") << entry.name;
    // The one key of mmcnn_att gets all the attention whatever the notes ask: models/seed_cnn.cpp.
    EXPECT_EQ(model->forward({signal, {}}).to_vector<float>() ==
                  model->forward({signal, notes}).to_vector<float>(),
              entry.name == "mmcnn_att")
        << entry.name;
  }
}

TEST(Registry, ABatchWithoutInputsOrWithUnequalOnesIsRefused) {
  const auto backend = make_backend("cpu");
  const ModelInputs unequal{Tensor::full(backend, {2, 60, 12}, DType::f32, 0.0),
                            Tensor::full(backend, {3, 768}, DType::f32, 0.0)};
  EXPECT_NE(testing::error_of([&] { unequal.batch(); }).find("a batch has 2 signals, but 3 notes"),
            std::string::npos);
  EXPECT_NE(testing::error_of([] {
              ModelInputs{}.batch();
            }).find("a model needs the signal, the notes or both"),
            std::string::npos);
}

TEST(Registry, CountsTheParametersOfTheSeed) {
  const auto backend = make_backend("cpu");
  ModelOptions options;
  const auto count = [&](const std::string& name) {
    options.name = name;
    return make(options, backend)->parameter_count();
  };
  constexpr std::int64_t signal = 16 * 85 + 32 * 81 + 48 * 97 + 512 * 5857 + 128 * 513;
  constexpr std::int64_t notes = 128 * 769 + 2 * 128;
  EXPECT_EQ(count("cnn"), signal + 5 * 129);
  EXPECT_EQ(count("mmcnn_sum"), signal + notes + 5 * 129);
  EXPECT_EQ(count("mmcnn_cat"), 3'173'029);
  constexpr std::int64_t lstm = 256 * (12 + 64 + 2) + 256 * (64 + 64 + 2);
  EXPECT_EQ(count("rnn"), lstm + 64 * 65 + 5 * 65);
  EXPECT_EQ(count("mmrnn"), 110'085);
  EXPECT_EQ(count("mmcnn_att"), signal + notes + 2 * 128 + 4 * 128 * 129 + 5 * 129);
  EXPECT_EQ(count("mmcnn_sum_att"), count("mmcnn_att") - 2 * 128) << "one LayerNorm less";
  options.batch_norm = true;
  EXPECT_EQ(count("cnn"), signal + 5 * 129 + 2 * (16 + 32 + 48));
}

TEST(Registry, RecurrentModelsRefuseBatchNorm) {
  ModelOptions options;
  options.batch_norm = true;
  for (const std::string name : {"rnn", "mmrnn"}) {
    options.name = name;
    EXPECT_EQ(testing::error_of([&] { make(options, make_backend("cpu")); }),
              name + " has no BatchNorm: set model.batch_norm to false");
  }
}

// The features of the two inputs are summed, so that each input alone adds its own part to the bias
// of the last Linear.
TEST(Registry, MmrnnReadsEitherInputAlone) {
  const auto backend = make_backend("cpu");
  const NoGradScope no_grad;
  ModelOptions options;
  options.name = "mmrnn";
  const auto model = make(options, backend);
  ModelInputs both;
  both.signal = Tensor::from_host<float>(backend, {2, 40, 12}, DType::f32,
                                         TorchGenerator(1).normal(960, 0.0F, 1.0F));
  both.notes = Tensor::from_host<float>(backend, {2, 768}, DType::f32,
                                        TorchGenerator(2).normal(1536, 0.0F, 1.0F));
  const auto logits = [&](const ModelInputs& inputs) {
    return model->forward(inputs).to_vector<float>();
  };
  const std::vector<float> signal = logits({both.signal, {}});
  const std::vector<float> notes = logits({{}, both.notes});
  const std::vector<float> sum = logits(both);
  std::vector<float> bias;
  for (const NamedTensor& each : model->parameters()) {
    if (each.name == "fc2.bias") bias = each.tensor.to_vector<float>();
  }
  for (std::size_t i = 0; i < sum.size(); ++i) {
    EXPECT_NEAR(signal[i] + notes[i] - bias[i % 5], sum[i], 1e-5);
  }
}

}  // namespace
}  // namespace cardiograd
