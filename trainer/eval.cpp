#include "trainer/eval.h"

#include "trainer/bootstrap.h"
#include "trainer/checkpoint.h"
#include "trainer/session.h"

namespace cardiograd {

namespace {

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

}  // namespace

EvalResult evaluate_run(const EvalOptions& options) {
  if (!std::filesystem::is_directory(options.run)) {
    throw InputError("run " + options.run.string() + " is not a folder");
  }
  const std::filesystem::path folder = options.run / options.checkpoint;
  const TrainingState state = read_training_state(folder);
  RunConfig config = read_config(folder / "config.toml", {});
  if (options.data) config.data.path = options.data->string();
  if (options.fold) config.data.test_folds = {*options.fold};

  Session session = open_session(config);
  if (session.task.classes != state.classes) {
    throw InputError(config.data.path + " has other classes for task \"" + state.task +
                     "\" than the data that " + folder.string() + " was trained on");
  }
  check_denoising(state, *session.dataset);
  load_model(folder, *session.model, session.backend);
  session.source->set_standardisation(state.standardisation);
  const std::vector<std::int32_t> examples =
      examples_of(session, config.data.test_folds, options.fold ? "--fold" : "data.test_folds");
  Progress progress(options.quiet);
  const Outcome outcome =
      run_model(session, examples, config.train.batch_size,
                class_weights(session, state.pos_weight), progress, "evaluating");
  return {evaluate_with_intervals(outcome.predictions(session.task)), outcome.loss, state.epoch};
}

}  // namespace cardiograd
