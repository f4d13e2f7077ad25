#include "trainer/run_checkpoints.h"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view step_prefix = "step-";

std::string step_name(std::int64_t step) {
  char text[40];
  std::snprintf(text, sizeof text, "step-%08lld", static_cast<long long>(step));
  return text;
}

std::optional<std::int64_t> step_of_name(const std::string& name) {
  std::int64_t step = 0;
  if (!name.starts_with(step_prefix)) return {};
  if (!parse_number(std::string_view(name).substr(step_prefix.size()), step)) return {};
  return step;
}

// Earlier checkpoints by their names, ascending.
std::vector<std::pair<std::int64_t, fs::path>> earlier_checkpoints(const fs::path& run) {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(run, ignored)) {
    if (const auto step = step_of_name(entry.path().filename().string())) {
      found.emplace_back(*step, entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// A checkpoint that is removed goes out of sight first: what is half removed is no checkpoint.
void remove_checkpoint(const fs::path& folder) {
  const fs::path aside = checkpoint_set_aside(folder);
  fs::remove_all(aside);
  fs::rename(folder, aside);
  fs::remove_all(aside);
}

void remove_oldest(const fs::path& run, std::int64_t keep) {
  const auto earlier = earlier_checkpoints(run);
  const auto most = static_cast<std::size_t>(keep - 1);
  for (std::size_t i = 0; i + most < earlier.size(); ++i) {
    try {
      remove_checkpoint(earlier[i].second);
    } catch (const fs::filesystem_error& error) {
      throw InputError("checkpoint " + earlier[i].second.string() +
                       " cannot be removed: " + error.code().message());
    }
  }
}

// The step of a checkpoint that may be cut off anywhere.
std::optional<std::int64_t> step_of(const fs::path& folder) {
  try {
    for (const char* name : {"model.safetensors", "optimizer.safetensors", "config.toml"}) {
      if (!fs::exists(folder / name)) return {};
    }
    return read_training_state(folder).step;
  } catch (const InputError&) {
    return {};
  }
}

// Killed between the exchange of names and the removal of the former checkpoint: with run.keep it
// was to stay under the name of its step.
void rescue_former(const fs::path& last) {
  for (const fs::path& former : {checkpoint_being_written(last), checkpoint_set_aside(last)}) {
    const std::optional<std::int64_t> step = step_of(former), latest = step_of(last);
    if (!step || !latest || *step >= *latest) continue;
    const fs::path target = last.parent_path() / step_name(*step);
    if (!fs::exists(target)) fs::rename(former, target);
  }
}

}  // namespace

RunCheckpoints::RunCheckpoints(fs::path run, const RunConfig::Run& options, std::string config,
                               bool writes, std::function<void()> before_writing)
    : run_(std::move(run)),
      options_(options),
      config_(std::move(config)),
      writes_(writes),
      before_writing_(std::move(before_writing)) {
  if (!writes_) return;
  last_step_ = step_of(last());
  remove_oldest(run_, options_.keep);
}

bool RunCheckpoints::due_after(std::int64_t step) const {
  return options_.checkpoint_steps > 0 && step % options_.checkpoint_steps == 0;
}

bool RunCheckpoints::due_now() const {
  const std::chrono::duration<double, std::ratio<60>> since =
      std::chrono::steady_clock::now() - saved_;
  return writes_ && options_.checkpoint_minutes > 0.0 &&
         since.count() >= options_.checkpoint_minutes;
}

void RunCheckpoints::keep_best(const Module& model, const Optimizer& optimizer,
                               const TrainingState& state) {
  if (!writes_) return;
  finish();  // what was written before lets its copies go
  best_ = {optimizer.averaged(), CheckpointContents(model, &optimizer, state, config_)};
}

void RunCheckpoints::save_last(const Module& model, const Optimizer& optimizer,
                               const TrainingState& state) {
  if (!writes_) return;
  finish();
  std::optional<Best> best = std::exchange(best_, std::nullopt);
  std::optional<CheckpointTwin> twin;
  std::optional<CheckpointContents> contents;
  if (best && best->contents.state.step == state.step) {
    twin = CheckpointTwin{this->best(), !best->is_average};
    contents = best->contents;
    contents->state = state;
    if (best->is_average) contents->copy_model(model, &optimizer);
  } else {
    contents.emplace(model, &optimizer, state, config_);
  }
  const bool stays = options_.keep > 1 && last_step_ && *last_step_ < state.step;
  const fs::path former = stays ? run_ / step_name(*last_step_) : fs::path();
  writing_ = std::async(std::launch::async, [this, best = std::move(best),
                                             contents = std::move(*contents), former, twin] {
    if (before_writing_) before_writing_();
    if (best) save_checkpoint(this->best(), best->contents);
    save_checkpoint(last(), contents, former, twin);
    remove_oldest(run_, options_.keep);
  });
  last_step_ = state.step;
  saved_ = std::chrono::steady_clock::now();
}

void RunCheckpoints::finish() {
  if (writing_.valid()) writing_.get();
}

std::optional<fs::path> find_checkpoint(const fs::path& run) {
  for (const fs::path& last : {run / "last", checkpoint_set_aside(run / "last")}) {
    if (fs::exists(last)) return last;
  }
  std::vector<fs::path> others;
  for (const auto& [step, folder] : earlier_checkpoints(run)) others.push_back(folder);
  others.push_back(run / "best");
  std::optional<std::pair<std::int64_t, fs::path>> latest;
  for (const fs::path& folder : others) {
    const std::optional<std::int64_t> step = step_of(folder);
    if (step && (!latest || *step > latest->first)) latest = {*step, folder};
  }
  return latest ? std::optional(latest->second) : std::nullopt;
}

void clean_checkpoints(const fs::path& run) {
  for (const char* name : {"last", "best"}) {
    const fs::path folder = run / name;
    if (!fs::exists(folder) && fs::exists(checkpoint_set_aside(folder))) {
      fs::rename(checkpoint_set_aside(folder), folder);
    }
  }
  rescue_former(run / "last");
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    const bool of_a_checkpoint =
        name.starts_with("last.") || name.starts_with("best.") || name.starts_with(step_prefix);
    const bool cut_off = of_a_checkpoint && (name.ends_with(".writing") || name.ends_with(".old"));
    if (cut_off || name.find(".tmp-") != std::string::npos) leftovers.push_back(entry.path());
  }
  for (const fs::path& path : leftovers) fs::remove_all(path);
}

}  // namespace cardiograd
