#include "trainer/eval.h"

#include "nn/weights_file.h"
#include "trainer/bootstrap.h"
#include "trainer/checkpoint.h"
#include "trainer/session.h"

namespace cardiograd {

namespace {

namespace fs = std::filesystem;

// A model sees what it was trained on, or the figures say nothing.
void check_denoising(const TrainingState& state, const PackedDataset& dataset) {
  if (state.denoise == dataset.denoise()) return;
  const auto describe = [](const std::optional<DenoiseSpec>& spec) {
    return spec ? "denoised with " + spec->to_string() : std::string("not denoised");
  };
  throw InputError("the records of " + dataset.path().string() + " were " +
                   describe(dataset.denoise()) + ", those that the model was trained on were " +
                   describe(state.denoise) + "; pack them alike with cardiograd prepare --denoise");
}

// A file of weights, or a checkpoint's folder.
fs::path weights_of(const EvalOptions& options) {
  if (!options.is_of_run()) {
    find_weights(options.checkpoint);  // a missing file is named before a missing config is
    return options.checkpoint;
  }
  if (!fs::is_directory(options.run)) {
    throw InputError(
        "run " + options.run.string() + " is not a folder" +
        (fs::exists(options.run) ? "; with a config, name the weights by --checkpoint" : ""));
  }
  return options.run / options.checkpoint;
}

RunConfig config_of(const EvalOptions& options, const fs::path& weights) {
  fs::path path = options.run;
  if (options.is_of_run() || (path.empty() && fs::is_directory(weights))) {
    path = weights / "config.toml";
  } else if (fs::is_directory(path)) {
    path /= "config.toml";
  }
  if (path.empty()) {
    throw InputError("--checkpoint " + weights.string() +
                     " does not say which model it belongs to: name a config as well, for example "
                     "trainer/configs/seed/mmcnn_cat.toml");
  }
  RunConfig config = read_config(path, options.overrides);
  if (options.data) config.data.path = options.data->string();
  if (options.fold) config.data.test_folds = {*options.fold};
  return config;
}

void check_state(const TrainingState& state, const Session& session, const RunConfig& config,
                 const fs::path& folder) {
  if (session.task.classes != state.classes) {
    throw InputError(config.data.path + " has other classes for task \"" + state.task +
                     "\" than the data that " + folder.string() + " was trained on");
  }
  check_denoising(state, *session.dataset);
  if (session.source->notes() && session.options.note_size != state.model.note_size) {
    throw InputError((config.data.notes.empty() ? config.data.path : config.data.notes) +
                     " has notes of " + std::to_string(session.options.note_size) +
                     " values, but " + folder.string() + " was trained on notes of " +
                     std::to_string(state.model.note_size));
  }
}

}  // namespace

EvalResult evaluate_run(const EvalOptions& options, const Launch& launch) {
  const fs::path weights = weights_of(options);
  std::optional<TrainingState> state;
  if (options.is_of_run() || fs::exists(weights / "state.json")) {
    state = read_training_state(weights);
  }
  const RunConfig config = config_of(options, weights);
  const Ranks ranks(launch, config);
  Session session = open_session(config, ranks.backend());
  ranks.check_same(data_fingerprint(*session.dataset), "data set");
  if (state) check_state(*state, session, config, weights);
  load_weights(session, weights);
  if (state) {
    session.source->set_standardisation(state->standardisation);
  } else if (config.data.standardize == "lead") {
    const auto train = examples_of(session, config.data.train_folds, "data.train_folds");
    session.source->set_standardisation(
        lead_statistics(*session.dataset, session.source->records_of(train)));
  }
  const std::vector<std::int32_t> examples =
      examples_of(session, config.data.test_folds, options.fold ? "--fold" : "data.test_folds");
  Progress progress(options.quiet || !ranks.is_first());
  const Loss loss = make_loss(session, config, state ? state->pos_weight : std::vector<float>());
  const Outcome outcome =
      run_model(session, ranks, examples, config.train.batch_size, loss, progress, "evaluation");
  ranks.leave_to_first();
  const Predictions predictions = outcome.predictions(session.task);
  EvalResult result{ranks.is_first() ? evaluate_with_intervals(predictions) : evaluate(predictions),
                    outcome.loss,
                    {}};
  if (state) result.epoch = state->epoch;
  return result;
}

}  // namespace cardiograd
