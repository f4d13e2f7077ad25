// What fit and eval have in common: device, data, model, and a pass over records without training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/batches.h"
#include "models/classifier.h"
#include "nn/optimizer.h"
#include "nn/profile.h"
#include "trainer/config.h"
#include "trainer/metrics.h"
#include "trainer/progress.h"
#include "trainer/ranks.h"

namespace cardiograd {

struct Session {
  std::shared_ptr<Backend> backend;
  DType dtype = DType::f32;  // of parameters and activations: config's precision
  std::shared_ptr<const PackedDataset> dataset;
  LabelTask task;
  std::unique_ptr<ExampleSource> source;
  ModelOptions options;
  std::unique_ptr<Classifier> model;
  // Of the training steps, each of whose operations `backend` then times; null: not wanted.
  std::shared_ptr<Profile> profile;

  // Operations must be asked for one by one.
  bool profiling() const { return profile != nullptr; }
  bool traces_memory = false;  // of a training step
};

// Opens device (unless it is open) and data set: everything but the model. Throws InputError where
// config and data set do not fit together, naming key and file.
Session open_data(const RunConfig& config, std::shared_ptr<Backend> backend = nullptr);

// The same with the model, its initial values drawn from train.seed. Throws
// InputError where config, data set and model do not fit together, naming key and file.
Session open_session(const RunConfig& config, std::shared_ptr<Backend> backend = nullptr);

// Fills the model from a .pt or .safetensors file or a checkpoint's folder, but for the tensors
// whose names match one of the patterns `except`: those stay as they are. Throws InputError, and
// changes nothing, where that is broken, its tensors do not fit the model, or a pattern matches
// none.
void load_weights(const Session& session, const std::filesystem::path& path,
                  const std::vector<std::string>& except = {});

// The examples of some folds; throws InputError, naming `key`, where there are none.
std::vector<std::int32_t> examples_of(const Session& session,
                                      const std::vector<std::int64_t>& folds,
                                      const std::string& key);

// The column of a class; throws InputError, naming `key`, where the task has none of that name.
std::int64_t class_named(const LabelTask& task, const std::string& name, const std::string& key);

// train.optimizer with the config's figures, average included.
OptimizerOptions optimizer_spec(const RunConfig::Train& train);

// Sigmoid outputs and labels of some examples, in their order.
struct Outcome {
  std::vector<double> targets;  // [records, classes]
  std::vector<double> scores;
  double loss = 0.0;  // mean over the examples

  Predictions predictions(const LabelTask& task) const;
};

// What is minimised, and reported for the validation and test folds; in f32, whatever the logits
// are.
struct Loss {
  BceSpec spec;
  Tensor pos_weight;  // [classes], on the device; may be undefined

  Tensor operator()(const Tensor& logits, const Tensor& targets) const;
};
// The section loss, and weights of the classes' positives (empty: none).
Loss make_loss(const Session& session, const RunConfig& config,
               const std::vector<float>& pos_weight);

// Puts the model into evaluation mode. The ranks compute batches in turn, and all of them get the
// outcome, which has the bits of one process's. between_batches is called before each batch, by all
// ranks equally often; what it throws comes out.
Outcome run_model(const Session& session, const Ranks& ranks,
                  std::span<const std::int32_t> examples, std::int64_t batch_size, const Loss& loss,
                  Progress& progress, const std::string& title,
                  const std::function<void()>& between_batches = {});

}  // namespace cardiograd
