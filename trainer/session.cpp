#include "trainer/session.h"

#include <algorithm>
#include <cstring>

#include "kernels/text.h"
#include "kernels/threads.h"
#include "models/registry.h"
#include "nn/ops.h"
#include "nn/optimizer.h"
#include "nn/tape.h"
#include "nn/weights_file.h"

namespace cardiograd {

namespace {

void check_inputs(const RunConfig& config, const ModelEntry& entry) {
  const auto check = [&](const char* input, bool readable) {
    if (readable || !config.reads(input)) return;
    throw InputError("model \"" + entry.name + "\" does not read the " + input +
                     ", but data.inputs lists \"" + input + "\"");
  };
  check("signal", entry.reads_signal);
  check("notes", entry.reads_notes);
  if (!config.reads("signal") && !config.reads("notes")) {
    throw InputError(
        "data.inputs lists nothing that model \"" + entry.name + "\" reads: it can read " +
        (entry.reads_notes ? (entry.reads_signal ? "signal and notes" : "notes") : "signal"));
  }
}

// Samples of a record that the model sees.
std::int64_t visible_samples(const RunConfig& config, const PackedDataset& dataset) {
  if (config.augment.crop <= 0.0) return dataset.length();
  const std::int64_t crop = config.samples_in(config.augment.crop);
  if (crop < 1 || crop > dataset.length()) {
    throw InputError("augment.crop is " + std::to_string(crop) + " samples, but the records of " +
                     config.data.path + " have " + std::to_string(dataset.length()));
  }
  return crop;
}

Residency residency_of(const RunConfig& config) {
  if (config.data.residency == "device") return Residency::device;
  return config.data.residency == "host" ? Residency::host : Residency::automatic;
}

}  // namespace

Session open_data(const RunConfig& config, std::shared_ptr<Backend> backend) {
  if (config.threads > 0) limit_threads(static_cast<int>(config.threads));

  Session session;
  session.backend =
      backend ? std::move(backend) : make_backend(config.device, backend_options(config));
  session.dataset = std::make_shared<PackedDataset>(config.data.path);
  if (session.dataset->rate() != config.data.rate) {
    throw InputError("data.rate is " + std::to_string(config.data.rate) + ", but " +
                     config.data.path + " was prepared at " +
                     std::to_string(session.dataset->rate()) + " Hz");
  }
  session.task = make_task(config.data.task, session.dataset->statements());
  std::shared_ptr<const NoteMatrix> notes;
  if (config.reads("notes") && !config.data.notes.empty()) {
    notes =
        std::make_shared<const NoteMatrix>(NoteMatrix::read(config.data.notes, *session.dataset));
  }
  session.dtype = config.precision == "bf16" ? DType::bf16 : DType::f32;
  session.source = std::make_unique<ExampleSource>(
      session.dataset, session.task,
      ExampleSource::Options{.signal = config.reads("signal"),
                             .notes = config.reads("notes"),
                             .standardisation = {},
                             .note_matrix = notes,
                             .length = visible_samples(config, *session.dataset),
                             .dtype = session.dtype,
                             .residency = residency_of(config)},
      session.backend);
  return session;
}

Session open_session(const RunConfig& config, std::shared_ptr<Backend> backend) {
  const ModelEntry& entry = find_model(config.model.name);
  check_inputs(config, entry);
  Session session = open_data(config, std::move(backend));
  session.options.name = config.model.name;
  session.options.classes = session.source->classes();
  session.options.length = session.source->length();
  if (session.source->notes()) session.options.note_size = session.source->notes()->size();
  session.options.dropout = config.model.dropout;
  session.options.batch_norm = config.model.batch_norm;
  session.options.layers = config.model.layers;
  session.options.heads = config.model.heads;
  session.options.width = config.model.width;
  session.options.feedforward = config.model.feedforward;
  session.options.token_stride = config.model.token_stride;
  session.options.levels = config.model.levels;
  session.options.amplitude = config.model.amplitude;
  TorchGenerator random(static_cast<std::uint64_t>(config.train.seed));
  session.model = entry.make({session.backend, session.dtype, &random}, session.options);
  return session;
}

void load_weights(const Session& session, const std::filesystem::path& path,
                  const std::vector<std::string>& except) {
  StateDict state = read_weights(path, session.backend);
  const StateDict own = state_dict(*session.model);
  for (const std::string& pattern : except) {
    std::vector<std::string> names;
    for (const StateEntry& entry : own) names.push_back(entry.name);
    if (std::none_of(names.begin(), names.end(),
                     [&](const std::string& name) { return matches(pattern, name); })) {
      throw InputError("train.init_except: no tensor of the model is called " + quote(pattern) +
                       suggestion(pattern, names));
    }
  }
  // What stays is handed over as it is, so that everything else must still fit.
  const auto stays = [&](const StateEntry& entry) {
    return std::any_of(except.begin(), except.end(),
                       [&](const std::string& pattern) { return matches(pattern, entry.name); });
  };
  std::erase_if(state, stays);
  std::copy_if(own.begin(), own.end(), std::back_inserter(state), stays);
  load_state_dict(*session.model, state, find_weights(path).string());
}

std::vector<std::int32_t> examples_of(const Session& session,
                                      const std::vector<std::int64_t>& folds,
                                      const std::string& key) {
  const std::vector<int> wanted(folds.begin(), folds.end());
  std::vector<std::int32_t> examples = session.source->examples_in(wanted);
  if (examples.empty()) {
    std::string list;
    for (int fold : wanted) list += (list.empty() ? "" : ", ") + std::to_string(fold);
    throw InputError(key + ": " + session.dataset->path().string() + " has no record of task \"" +
                     session.task.name + "\" in fold " + list);
  }
  return examples;
}

std::int64_t class_named(const LabelTask& task, const std::string& name, const std::string& key) {
  const auto found = std::find(task.classes.begin(), task.classes.end(), name);
  if (found == task.classes.end()) {
    throw InputError(key + ": task \"" + task.name + "\" has no class " + quote(name) +
                     suggestion(name, task.classes));
  }
  return found - task.classes.begin();
}

OptimizerOptions optimizer_spec(const RunConfig::Train& train) {
  OptimizerOptions spec = optimizer_defaults(train.optimizer);
  spec.lr = train.lr;
  spec.weight_decay = train.weight_decay;
  spec.momentum = train.momentum;
  spec.ema_decay = train.ema;
  return spec;
}

Predictions Outcome::predictions(const LabelTask& task) const {
  return {static_cast<std::int64_t>(targets.size() / task.classes.size()), task.classes, targets,
          scores};
}

Tensor Loss::operator()(const Tensor& logits, const Tensor& targets) const {
  return bce_with_logits(cast(logits, DType::f32), targets, pos_weight, spec);
}

Loss make_loss(const Session& session, const RunConfig& config,
               const std::vector<float>& pos_weight) {
  Loss loss;
  loss.spec.smoothing = config.loss.smoothing;
  if (config.loss.name == "focal") {
    loss.spec.gamma_positive = loss.spec.gamma_negative = config.loss.gamma;
    loss.spec.positive = config.loss.alpha;
    loss.spec.negative = 1.0 - config.loss.alpha;
  } else if (config.loss.name == "asymmetric") {
    loss.spec.gamma_positive = config.loss.gamma_positive;
    loss.spec.gamma_negative = config.loss.gamma_negative;
    loss.spec.margin = config.loss.margin;
  }
  if (!pos_weight.empty()) {
    loss.pos_weight = Tensor::from_host<float>(session.backend, {session.source->classes()},
                                               DType::f32, pos_weight);
  }
  return loss;
}

namespace {

using Figures = std::vector<double>;

// A batch's examples * loss, then its scores.
void append_batch(const Session& session, const Loss& loss, const Batch& batch, Figures& figures) {
  const Tensor logits = cast(session.model->forward({batch.signal, batch.notes}), DType::f32);
  figures.push_back(loss(logits, batch.targets).item() * static_cast<double>(batch.size));
  const std::vector<double> scores = sigmoid(logits).to_vector<double>();
  figures.insert(figures.end(), scores.begin(), scores.end());
}

// From what each rank computed of its batches, in the order of the examples.
Outcome gathered(const Session& session, const Ranks& ranks, std::span<const std::int32_t> examples,
                 std::int64_t batch_size, const Figures& mine, const std::string& title) {
  std::vector<Figures> all;
  for (const Communicator::Bytes& bytes : ranks.communicator().all_gather_bytes(
           std::as_bytes(std::span(mine)), "the end of the " + title)) {
    all.emplace_back(bytes.size() / sizeof(double));
    if (!bytes.empty()) std::memcpy(all.back().data(), bytes.data(), bytes.size());
  }
  Outcome outcome;
  double weighted = 0.0;
  std::vector<std::size_t> at(all.size(), 0);
  std::size_t rank = 0;
  const auto count = static_cast<std::int64_t>(examples.size());
  for (std::int64_t first = 0; first < count; first += batch_size) {
    const auto scores =
        static_cast<std::size_t>(std::min(batch_size, count - first) * session.source->classes());
    const std::span<const double> figures = std::span(all[rank]).subspan(at[rank], 1 + scores);
    weighted += figures.front();
    outcome.scores.insert(outcome.scores.end(), figures.begin() + 1, figures.end());
    at[rank] += 1 + scores;
    rank = (rank + 1) % all.size();
  }
  for (std::int32_t example : examples) {
    const std::span<const float> targets = session.source->targets(example);
    outcome.targets.insert(outcome.targets.end(), targets.begin(), targets.end());
  }
  outcome.loss = weighted / static_cast<double>(std::max<std::int64_t>(count, 1));
  return outcome;
}

}  // namespace

Outcome run_model(const Session& session, const Ranks& ranks,
                  std::span<const std::int32_t> examples, std::int64_t batch_size, const Loss& loss,
                  Progress& progress, const std::string& title,
                  const std::function<void()>& between_batches) {
  const NoGradScope no_grad;
  session.model->eval();
  const auto count = static_cast<std::int64_t>(examples.size());
  progress.begin(title, count);
  BatchLoader loader(*session.source, {examples.begin(), examples.end()},
                     batches_in_turn(count, batch_size, ranks.rank(), ranks.size()));
  Figures figures;
  const std::int64_t at_once = batch_size * ranks.size();
  for (std::int64_t first = 0; first < count; first += at_once) {
    if (between_batches) between_batches();
    Batch batch;
    if (loader.next(batch)) append_batch(session, loss, batch, figures);
    progress.update(std::min(first + at_once, count), "");
  }
  return gathered(session, ranks, examples, batch_size, figures, title);
}

}  // namespace cardiograd
