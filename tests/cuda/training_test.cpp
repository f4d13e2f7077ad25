// Whole training steps on CudaBackend against the CPU: batches from a packed file, every registered
// model, and a run of the trainer with its checkpoint. On the emulator (label kernel) small, on a
// GPU (label gpu) larger.
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <random>

#include "data/batches.h"
#include "kernels/cuda/cuda_backend.h"
#include "models/registry.h"
#include "nn/ops.h"
#include "nn/optimizer.h"
#include "nn/random.h"
#include "nn/state_dict.h"
#include "tests/cuda/machine.h"
#include "tests/support/run_events.h"
#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"
#include "trainer/eval.h"
#include "trainer/fit.h"
#include "trainer/predictor.h"

namespace cardiograd {
namespace {

using testing::losses_of;
using testing::SmallPacked;
using testing::TempFolder;

// Why there is no device; empty where there is one.
std::string without_device() {
  try {
    make_backend("cuda");
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "";
}

#define SKIP_WITHOUT_DEVICE() \
  if (const std::string why = without_device(); !why.empty()) CARDIOGRAD_WITHOUT_DEVICE(why)

struct Sizes {
  std::int64_t records, length, crop, batch;
  int steps;
};

Sizes sizes() {
  return testing::is_emulated() ? Sizes{24, 72, 56, 5, 3} : Sizes{1000, 1000, 960, 32, 10};
}

// Noise about a slow wave, with labels that it tells, and notes of a few words.
class Data {
 public:
  Data() {
    const Sizes size = sizes();
    SmallPacked packed(size.records, size.length);
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < packed.signal.size(); ++i) {
      const auto record = static_cast<std::int64_t>(i) / (size.length * packed_leads);
      const auto time =
          static_cast<float>(i / packed_leads % static_cast<std::size_t>(size.length));
      const float wave = std::sin(time * (record % 3 == 0 ? 0.3F : 0.7F));
      packed.signal[i] = static_cast<std::int16_t>(500.0F * wave + 200.0F * normal(random));
      if (random() % 97 == 0) packed.signal[i] = -32768;
    }
    packed.notes.resize(static_cast<std::size_t>(size.records * note_dimensions));
    for (float& value : packed.notes) value = 0.036F * normal(random);
    packed.write(path());
    dataset_ = std::make_shared<PackedDataset>(path());
  }

  std::filesystem::path path() const { return folder_ / "packed"; }
  const std::shared_ptr<const PackedDataset>& dataset() const { return dataset_; }

  ExampleSource source(const std::string& device, DType dtype,
                       Residency residency = Residency::automatic) const {
    return {dataset_, make_task("superdiagnostic", dataset_->statements()),
            ExampleSource::Options{.signal = true,
                                   .notes = true,
                                   .standardisation = {},
                                   .length = sizes().crop,
                                   .dtype = dtype,
                                   .residency = residency},
            make_backend(device)};
  }

 private:
  TempFolder folder_;
  std::shared_ptr<const PackedDataset> dataset_;
};

const Data& data() {
  static const Data made;
  return made;
}

// Everything that training data may go through.
Augmentation augmentation(const ExampleSource& source) {
  Augmentation result;
  AugmentSpec& spec = result.spec;
  spec.seed = 3;
  spec.crop = true;
  spec.shift = spec.amplitude = spec.wander = spec.hum = spec.mask = 0.5;
  spec.shift_most = 5;
  spec.amplitude_low = 0.8;
  spec.amplitude_high = 1.25;
  spec.wander_mv = 0.2;
  spec.hum_mv = 0.05;
  spec.noise = 0.1;
  spec.lead_dropout = 0.1;
  spec.mixup = 0.4;
  for (std::int32_t i = 0; i < source.size(); ++i) result.partners.push_back(i);
  return result;
}

std::vector<std::int32_t> order(const ExampleSource& source, std::uint32_t epoch) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(source.size()));
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::int32_t>(i);
  return shuffled(all, 1, epoch);
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0.0, size = 1e-30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

// ---- Batches ------------------------------------------------------------------------------------

// (residency, bf16, augmented)
class CudaBatches : public ::testing::TestWithParam<std::tuple<Residency, bool, bool>> {};

TEST_P(CudaBatches, AreThoseOfTheCpu) {
  SKIP_WITHOUT_DEVICE();
  const auto& [residency, narrow, augmented] = GetParam();
  const ExampleSource ours = data().source("cuda", narrow ? DType::bf16 : DType::f32, residency);
  const ExampleSource theirs = data().source("cpu", DType::f32);
  EXPECT_EQ(ours.is_resident(), residency != Residency::host);
  const Augmentation augment = augmented ? augmentation(theirs) : Augmentation{};
  BatchLoader our_loader(ours, order(ours, 1), sizes().batch, augment);
  BatchLoader their_loader(theirs, order(theirs, 1), sizes().batch, augment);
  const double most = narrow ? 4e-3 : 2e-6;
  Batch our, their;
  while (their_loader.next(their)) {
    ASSERT_TRUE(our_loader.next(our));
    EXPECT_EQ(our.signal.backend()->name(), "cuda:0");
    EXPECT_EQ(our.signal.dtype(), narrow ? DType::bf16 : DType::f32);
    EXPECT_EQ(our.records.to_vector<std::int32_t>(), their.records.to_vector<std::int32_t>());
    EXPECT_EQ(our.targets.to_vector<float>(), their.targets.to_vector<float>());
    EXPECT_LT(distance(our.signal.to_vector<double>(), their.signal.to_vector<double>()), most);
    EXPECT_LT(distance(our.notes.to_vector<double>(), their.notes.to_vector<double>()), most);
  }
  EXPECT_FALSE(our_loader.next(our));
}

INSTANTIATE_TEST_SUITE_P(Each, CudaBatches,
                         ::testing::Combine(::testing::Values(Residency::automatic,
                                                              Residency::device, Residency::host),
                                            ::testing::Bool(), ::testing::Bool()));

// ---- Models -------------------------------------------------------------------------------------

struct Case {
  std::string model;
  bool batch_norm = false;
  double dropout = 0.1;
};

void PrintTo(const Case& each, std::ostream* out) {
  *out << each.model << (each.batch_norm ? "_batch_norm" : "");
}

std::vector<Case> cases() {
  std::vector<Case> all{{"cnn", true}};
  for (const ModelEntry& entry : model_registry()) all.push_back({entry.name});
  return all;
}

struct Trained {
  std::vector<double> losses;
  std::vector<double> before, after;  // parameters, in f32

  std::vector<double> update() const {
    std::vector<double> result = after;
    for (std::size_t i = 0; i < result.size(); ++i) result[i] -= before[i];
    return result;
  }
};

// Without the padding between them, which depends on the dtype.
std::vector<double> values_of(const FlatParameters& parameters) {
  std::vector<double> all;
  for (const FlatParameters::Span& span : parameters.spans()) {
    const Tensor part = FlatParameters::part(parameters.master(), span);
    const std::vector<double> values = part.to_vector<double>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

Trained train(const std::string& device, DType dtype, const Case& each) {
  const ExampleSource source = data().source(device, dtype);
  const std::shared_ptr<Backend> backend = make_backend(device);
  ModelOptions options{.name = each.model,
                       .classes = source.classes(),
                       .length = source.length(),
                       .note_size = note_dimensions,
                       .dropout = each.dropout,
                       .batch_norm = each.batch_norm};
  options.layers = 1;
  if (testing::is_emulated()) {
    options.heads = 2;
    options.width = 24;
    options.levels = 16;
  }
  TorchGenerator random(11);
  const auto model = find_model(each.model).make({backend, dtype, &random}, options);
  FlatParameters parameters(*model);
  OptimizerOptions spec = optimizer_defaults("sgd");
  spec.lr = 0.02;
  spec.momentum = 0.9;
  Optimizer optimizer(spec, parameters);
  Trained result;
  result.before = values_of(parameters);
  BatchLoader loader(source, order(source, 1), sizes().batch, augmentation(source));
  Batch batch;
  for (int step = 0; step < sizes().steps && loader.next(batch); ++step) {
    const RandomScope draws(7, 1, batch.records);
    parameters.zero_grad();
    const Tensor logits = cast(model->forward({batch.signal, batch.notes}), DType::f32);
    const Tensor loss = bce_with_logits(logits, batch.targets);
    loss.backward();
    result.losses.push_back(loss.item());
    optimizer.step(1.0);
  }
  result.after = values_of(parameters);
  return result;
}

const Trained& on_cpu(const Case& each) {
  static std::map<std::string, Trained> known;
  const std::string name = each.model + (each.batch_norm ? "_batch_norm" : "");
  if (!known.contains(name)) known[name] = train("cpu", DType::f32, each);
  return known[name];
}

class CudaTraining : public ::testing::TestWithParam<Case> {};

TEST_P(CudaTraining, FollowsTheCpu) {
  SKIP_WITHOUT_DEVICE();
  const Trained& cpu = on_cpu(GetParam());
  const Trained ours = train("cuda", DType::f32, GetParam());
  ASSERT_EQ(ours.losses.size(), cpu.losses.size());
  for (std::size_t step = 0; step < cpu.losses.size(); ++step) {
    EXPECT_NEAR(ours.losses[step], cpu.losses[step], 1e-4 * cpu.losses[step]) << "step " << step;
  }
  EXPECT_EQ(ours.before, cpu.before);
  EXPECT_LT(distance(ours.update(), cpu.update()), 1e-3);
}

// 8 bits of mantissa: losses stay within 2 %, and the steps point where f32's point.
TEST_P(CudaTraining, FollowsTheCpuInBf16) {
  SKIP_WITHOUT_DEVICE();
  const Trained& cpu = on_cpu(GetParam());
  const Trained ours = train("cuda", DType::bf16, GetParam());
  ASSERT_EQ(ours.losses.size(), cpu.losses.size());
  for (std::size_t step = 0; step < cpu.losses.size(); ++step) {
    EXPECT_NEAR(ours.losses[step], cpu.losses[step], 2e-2 * cpu.losses[step]) << "step " << step;
  }
  EXPECT_LT(distance(ours.update(), cpu.update()), 0.2);
}

INSTANTIATE_TEST_SUITE_P(Models, CudaTraining, ::testing::ValuesIn(cases()),
                         ::testing::PrintToStringParamName());

// ---- The trainer --------------------------------------------------------------------------------

RunConfig config_for(const std::filesystem::path& dir, const std::string& device,
                     const std::string& precision) {
  RunConfig config;
  config.device = device;
  config.precision = precision;
  config.data.path = data().path().string();
  config.data.inputs = {"signal", "notes"};
  config.data.standardize = "lead";
  config.model.name = "mmcnn_cat";
  config.train.epochs = 2;
  config.train.batch_size = sizes().batch;
  config.train.ema = 0.5;
  config.train.clip_norm = 1.0;
  config.augment.noise = 0.1;
  config.run.dir = dir.string();
  config.run.plots = false;
  config.run.tensorboard = false;
  return config;
}

TEST(CudaTrainer, RunsAndItsCheckpointsAreReadByTheCpu) {
  SKIP_WITHOUT_DEVICE();
  const TempFolder folder;
  fit(config_for(folder / "cpu", "cpu", "fp32"), true);
  const std::vector<double> expected = losses_of(folder / "cpu");
  for (const std::string precision : {"fp32", "tf32", "bf16"}) {
    const std::filesystem::path run = folder / precision;
    fit(config_for(run, "cuda", precision), true);
    const std::vector<double> losses = losses_of(run);
    ASSERT_EQ(losses.size(), expected.size());
    const double most = precision == "fp32" ? 1e-3 : precision == "tf32" ? 5e-3 : 2e-2;
    for (std::size_t i = 0; i < losses.size(); ++i) {
      EXPECT_NEAR(losses[i], expected[i], most * expected[i]) << precision << ", loss " << i;
    }
    const SafetensorsFile weights(run / "best/model.safetensors");
    EXPECT_EQ(weights.view("conv1.weight").dtype, DType::f32);
    const EvalResult on_cuda = evaluate_run({.run = run, .quiet = true});
    const EvalResult on_cpu =
        evaluate_run({.run = run, .overrides = {"device=cpu", "precision=fp32"}, .quiet = true});
    EXPECT_NEAR(on_cpu.loss, on_cuda.loss, most * on_cuda.loss);
  }
}

// Recorded steps, with the signal gathered within them, and losses that are read a step later.
TEST(CudaTrainer, ReplaysToTheSameBits) {
  SKIP_WITHOUT_DEVICE();
  const TempFolder folder;
  ::testing::internal::CaptureStderr();
  for (const bool replay : {false, true}) {
    RunConfig config = config_for(folder / (replay ? "replayed" : "eager"), "cuda", "bf16");
    config.replay = replay;
    config.plan_file = (folder / "plans.json").string();  // the second run takes the first one's
    config.augment.mixup = 0.4;
    config.augment.mask = 0.5;
    config.model.batch_norm = true;
    config.train.epochs = 3;
    fit(config, false);
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(said.find("not recorded"), std::string::npos) << said;
  EXPECT_EQ(losses_of(folder / "replayed"), losses_of(folder / "eager"));
  for (const char* file : {"last/model.safetensors", "last/optimizer.safetensors"}) {
    EXPECT_TRUE(testing::read_file(folder / "replayed" / file) ==
                testing::read_file(folder / "eager" / file))
        << file << " differs";
  }
}

TEST(CudaPredictor, GivesTheProbabilitiesOfTheCpu) {
  SKIP_WITHOUT_DEVICE();
  const TempFolder folder;
  TorchGenerator random(3);
  const auto model = find_model("cnn").make({make_backend("cpu"), DType::f32, &random}, {});
  save_state(folder / "cnn.safetensors", state_dict(*model));
  EcgRecord record;
  record.rate = 100.0;
  for (int i = 0; i < 1000 * packed_leads; ++i) {
    record.millivolts.push_back(std::sin(0.01F * static_cast<float>(i)));
  }
  std::vector<std::vector<double>> results;
  for (const char* device : {"cpu", "cuda"}) {
    const Predictor predict({.model = folder / "cnn.safetensors",
                             .architecture = "cnn",
                             .classes = {},
                             .device = device});
    results.push_back(predict(record, {}));
  }
  EXPECT_LT(distance(results[1], results[0]), 1e-4);
}

}  // namespace
}  // namespace cardiograd
