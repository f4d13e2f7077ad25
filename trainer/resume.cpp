#include "trainer/resume.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/input_file.h"
#include "nn/strict_json.h"
#include "trainer/checkpoint.h"
#include "trainer/config_fields.h"

namespace cardiograd {

namespace {

constexpr std::size_t most_log_bytes = std::size_t{1} << 30;
constexpr int deepest_event = 4;

// The last event of metrics.jsonl, if that is of the test.
bool has_test_event(const std::filesystem::path& path, std::int64_t from) {
  if (!std::filesystem::exists(path)) return false;
  const std::string text = read_text(path, most_log_bytes);
  if (text.empty() || text.back() != '\n' || static_cast<std::size_t>(from) >= text.size()) {
    return false;
  }
  const std::size_t before = text.find_last_of('\n', text.size() - 2);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  const nlohmann::json event =
      parse_strict_json(std::string_view(text).substr(begin), path.string(), deepest_event);
  return event.is_object() && event.value("event", nlohmann::json()) == "test";
}

std::string shown(const ConfigSlot& slot) {
  const auto* const number = std::get_if<double*>(&slot);
  return number != nullptr ? shortest_number(**number) : to_text(slot);
}

}  // namespace

const std::vector<std::string>& changeable_keys() {
  static const std::vector<std::string> keys{"device",
                                             "threads",
                                             "replay",
                                             "data.path",
                                             "data.residency",
                                             "train.epochs",
                                             "train.on_nan",
                                             "train.early_stopping",
                                             "run.plots",
                                             "run.tensorboard",
                                             "run.log_every",
                                             "run.checkpoint_epochs",
                                             "run.checkpoint_steps",
                                             "run.checkpoint_minutes",
                                             "run.keep",
                                             "run.timeout_seconds"};
  return keys;
}

std::vector<std::string> config_changes(const std::filesystem::path& kept, const RunConfig& now) {
  RunConfig old = read_config(kept, {}), fresh = now;
  const std::vector<std::string>& allowed = changeable_keys();
  std::vector<std::string> changes;
  for (const ConfigField& field : config_fields()) {
    const std::string before = shown(field.slot(old)), after = shown(field.slot(fresh));
    if (before == after || field.key == "run.dir") continue;
    if (std::find(allowed.begin(), allowed.end(), field.key) == allowed.end()) {
      throw InputError("a resumed run cannot change " + field.key + ", which was " + before +
                       " and is now " + after +
                       ": set it back, or start a new run in another "
                       "run.dir; only " +
                       join(allowed) + " may change");
    }
    changes.push_back(field.key + " changes from " + before + " to " + after);
    const bool ends = now.schedule.name == "cosine" || now.schedule.name == "one_cycle" ||
                      now.schedule.name == "fastai";
    if (field.key == "train.epochs" && ends) {
      changes.back() += "; from here on the learning rate is that of a schedule over all of them";
    }
  }
  return changes;
}

bool is_trained(const RunConfig& config, const TrainingState& state) {
  const std::int64_t patience = config.train.early_stopping;
  return state.epoch >= config.train.epochs || (patience > 0 && state.progress.position == 0 &&
                                                state.epoch - state.best.epoch >= patience);
}

bool is_finished(const RunConfig& config, const std::filesystem::path& checkpoint) {
  const TrainingState state = read_training_state(checkpoint);
  const bool begun = state.progress.position > 0;
  if (state.epoch + (begun ? 1 : 0) > config.train.epochs) {
    throw InputError("the run in " + config.run.dir + " is in epoch " +
                     std::to_string(state.epoch + (begun ? 1 : 0)) +
                     " already, more than train.epochs = " + std::to_string(config.train.epochs));
  }
  return is_trained(config, state) &&
         has_test_event(std::filesystem::path(config.run.dir) / "metrics.jsonl", state.log_bytes);
}

}  // namespace cardiograd
