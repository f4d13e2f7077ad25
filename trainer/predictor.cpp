#include "trainer/predictor.h"

#include <algorithm>
#include <cmath>

#include "data/notes.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "models/registry.h"
#include "nn/ops.h"
#include "nn/tape.h"
#include "nn/weights_file.h"
#include "trainer/config.h"
#include "trainer/model_guess.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;

// Alphabetical, as the seed's label encoder has them.
const std::vector<std::string> superclasses{"CD", "HYP", "MI", "NORM", "STTC"};

std::unique_ptr<Classifier> build(const ModelOptions& options,
                                  const std::shared_ptr<Backend>& backend) {
  TorchGenerator random(0);
  auto model = find_model(options.name).make({backend, DType::f32, &random}, options);
  model->eval();
  return model;
}

ModelOptions choose(const fs::path& file, const StateDict& weights, const std::string& name,
                    const std::shared_ptr<Backend>& backend) {
  const std::vector<ModelOptions> fits = fitting_models(weights, name, backend);
  if (fits.size() == 1) return fits.front();
  if (!name.empty()) {  // loading will say what does not fit
    ModelOptions options;
    options.name = name;
    return options;
  }
  std::vector<std::string> names;
  if (fits.empty()) {
    for (const ModelEntry& entry : model_registry()) names.push_back(entry.name);
    throw InputError(file.string() + " fits none of the models " + join(names) +
                     ": name the nearest one by --arch to see what differs");
  }
  for (const ModelOptions& fit : fits) names.push_back(fit.name);
  throw InputError(file.string() + " fits the models " + join(names, " and ") +
                   ": name one by --arch");
}

}  // namespace

Predictor::Predictor(const PredictorOptions& options) : backend_(make_backend(options.device)) {
  const fs::path file = find_weights(options.model);
  const fs::path folder = file.parent_path();
  // Standardisation and classes must not be lost where the weights of a checkpoint are named.
  checkpoint_ = file.filename() == "model.safetensors" && fs::exists(folder / "state.json");
  if (checkpoint_) {
    open_checkpoint(folder, options);
  } else {
    open_weights(file, options);
  }
}

void Predictor::open_checkpoint(const fs::path& folder, const PredictorOptions& options) {
  path_ = folder;
  TrainingState state = read_training_state(folder);
  const RunConfig config = read_config(folder / "config.toml", {});
  options_ = state.model;
  if (!options.architecture.empty() && options.architecture != options_.name) {
    throw InputError("--arch is " + quote(options.architecture) + ", but " + folder.string() +
                     " holds a model " + quote(options_.name) + ": leave --arch out");
  }
  if (!options.classes.empty()) {
    throw InputError(folder.string() + " knows its classes (" + join(state.classes) +
                     "): leave --classes out");
  }
  classes_ = std::move(state.classes);
  standardisation_ = std::move(state.standardisation);
  denoise_ = state.denoise;
  note_idf_ = std::move(state.note_idf);
  rate_ = config.data.rate;
  length_ = config.augment.crop > 0.0 ? rate_ * packed_seconds : options_.length;
  reads_signal_ = config.reads("signal");
  reads_notes_ = config.reads("notes");
  model_ = build(options_, backend_);
  load_model(folder, *model_, backend_);
}

void Predictor::open_weights(const fs::path& file, const PredictorOptions& options) {
  path_ = file;
  const StateDict weights = read_weights(file, backend_);
  options_ = choose(file, weights, options.architecture, backend_);
  guessed_ = options.architecture.empty();
  model_ = build(options_, backend_);
  load_state_dict(*model_, weights, file.string());
  classes_ = options.classes;
  const auto count = static_cast<std::size_t>(options_.classes);
  if (classes_.empty()) {
    if (count != superclasses.size()) {
      throw InputError(file.string() + " has " + std::to_string(count) +
                       " classes and does not name them: name them by --classes A,B,...");
    }
    classes_ = superclasses;
  }
  if (classes_.size() != count) {
    throw InputError("--classes has " + std::to_string(classes_.size()) + " names, but " +
                     file.string() + " has " + std::to_string(count) + " classes");
  }
  const ModelEntry& entry = find_model(options_.name);
  reads_signal_ = entry.reads_signal;
  reads_notes_ = entry.reads_notes;
  length_ = options_.length;
  rate_ = length_ / packed_seconds;
}

EcgRecord Predictor::read(const fs::path& path) const {
  EcgRecord record = read_ecg_record(path, denoise_);
  if (record.rate != static_cast<double>(rate_)) {
    throw InputError(record.path.string() + " is sampled at " + shortest_number(record.rate) +
                     " Hz, but the model " + path_.string() + " wants " + std::to_string(rate_) +
                     " Hz");
  }
  if (record.length() != length_) {
    throw InputError(record.path.string() + " has " + std::to_string(record.length()) +
                     " samples a lead, but the model " + path_.string() + " wants " +
                     std::to_string(length_));
  }
  return record;
}

std::vector<float> Predictor::embed(const std::string& note) const {
  if (!checkpoint_) {
    throw InputError(path_.string() +
                     " is weights alone and cannot read text: give the note's embedding by "
                     "--note-embedding");
  }
  if (note_idf_.empty()) {
    throw InputError(path_.string() +
                     " was trained on embeddings from elsewhere and cannot read text: give the "
                     "note's embedding by --note-embedding");
  }
  std::vector<float> embedding(note_dimensions);
  NoteEmbedder(note_idf_).embed(note, embedding);
  return embedding;
}

Tensor Predictor::signal_tensor(const EcgRecord& record) const {
  const auto first =
      static_cast<std::size_t>((record.length() - options_.length) / 2 * packed_leads);
  std::vector<float> values(static_cast<std::size_t>(options_.length * packed_leads));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t lead = i % packed_leads;
    const float mean = standardisation_.mean.empty() ? 0.0F : standardisation_.mean[lead];
    const float std = standardisation_.std.empty() ? 1.0F : standardisation_.std[lead];
    const float value = record.millivolts[first + i];
    values[i] = std::isnan(value) ? 0.0F : (value - mean) / std;
  }
  return Tensor::from_host<float>(backend_, {1, options_.length, packed_leads}, DType::f32, values);
}

std::vector<double> Predictor::operator()(const EcgRecord& record,
                                          std::span<const float> note) const {
  const NoGradScope no_grad;
  ModelInputs inputs;
  if (reads_signal_) inputs.signal = signal_tensor(record);
  if (reads_notes_) {
    const auto size = static_cast<std::int64_t>(note.size());
    CG_CHECK(note.empty() || size == note_size(), "a note of another size");
    inputs.notes = note.empty() ? Tensor::full(backend_, {1, note_size()}, DType::f32, 0.0)
                                : Tensor::from_host<float>(backend_, {1, size}, DType::f32, note);
  }
  std::vector<double> result = sigmoid(model_->forward(inputs)).to_vector<double>();
  if (!std::all_of(result.begin(), result.end(), [](double p) { return std::isfinite(p); })) {
    throw InputError(path_.string() + " gives no finite probability for " + record.path.string() +
                     ": its weights or the record's values are not usable");
  }
  return result;
}

}  // namespace cardiograd
