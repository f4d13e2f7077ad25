#include "trainer/checkpoint.h"

#include <cstdio>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>
#include <utility>

#include "data/notes.h"
#include "nn/atomic_file.h"
#include "nn/input_file.h"
#include "nn/strict_json.h"

namespace cardiograd {

namespace {

namespace fs = std::filesystem;

constexpr const char* model_file = "model.safetensors";
constexpr const char* optimizer_file = "optimizer.safetensors";
constexpr const char* state_file = "state.json";
constexpr const char* notes_file = "notes.safetensors";
constexpr const char* idf = "note_idf";
constexpr std::size_t most_state_bytes = 1 << 20;
constexpr std::int64_t resumable_since = 2;

std::vector<float> read_note_idf(const fs::path& path) {
  if (!fs::exists(path)) return {};
  const SafetensorsFile file(path);
  const ConstView view = file.view(idf, DType::f32, {note_buckets});
  return {view.as<float>(), view.as<float>() + note_buckets};
}

void sync_folder(const fs::path& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return;  // a file system without it: the files themselves are synced
  fsync(descriptor);
  close(descriptor);
}

// After this, `target` holds what `fresh` held; an old target lies at `former` or is gone.
void exchange(const fs::path& fresh, const fs::path& target, const fs::path& former) {
  const auto let_go = [&former](const fs::path& old) {
    if (!former.empty()) fs::remove_all(former);
    former.empty() ? static_cast<void>(fs::remove_all(old)) : fs::rename(old, former);
  };
  if (!fs::exists(target)) {
    fs::rename(fresh, target);
  } else if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    sync_folder(target.parent_path());
    let_go(fresh);
  } else {
    const fs::path old = checkpoint_set_aside(target);
    fs::remove_all(old);
    fs::rename(target, old);
    fs::rename(fresh, target);
    sync_folder(target.parent_path());
    let_go(old);
  }
  sync_folder(target.parent_path());
}

// Not every file system has links.
bool link(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_hard_link(from, to, error);
  return !error;
}

void check_whole(const fs::path& folder) {
  for (const char* name : {state_file, model_file, optimizer_file}) {
    if (fs::exists(folder / name)) continue;
    throw InputError((folder / name).string() +
                     " is missing, so that the checkpoint is not whole: bring it back, or remove " +
                     folder.string() + " to go on from an older checkpoint or from the beginning");
  }
}

}  // namespace

fs::path checkpoint_being_written(const fs::path& folder) { return folder.string() + ".writing"; }

fs::path checkpoint_set_aside(const fs::path& folder) { return folder.string() + ".old"; }

CheckpointContents::CheckpointContents(const Module& of_model, const Optimizer* of_optimizer,
                                       const TrainingState& at_state, std::string of_config)
    : state(at_state), config(std::move(of_config)) {
  copy_model(of_model, of_optimizer);
  if (of_optimizer) optimizer = std::make_shared<HostState>(of_optimizer->state_dict());
}

void CheckpointContents::copy_model(const Module& of_model, const Optimizer* of_optimizer) {
  model = std::make_shared<HostState>(of_optimizer ? of_optimizer->model_state(of_model)
                                                   : state_dict(of_model));
}

void save_checkpoint(const fs::path& folder, const CheckpointContents& contents,
                     const fs::path& former, const std::optional<CheckpointTwin>& twin) {
  const fs::path fresh = checkpoint_being_written(folder);
  try {
    fs::remove_all(fresh);
    fs::create_directories(fresh);
    const auto linked = [&](const char* file) {
      return twin && link(twin->folder / file, fresh / file);
    };
    if (!twin || !twin->same_model || !linked(model_file)) {
      save_state(fresh / model_file, *contents.model, {{"format", "pt"}});
    }
    if (contents.optimizer && !linked(optimizer_file)) {
      save_state(fresh / optimizer_file, *contents.optimizer);
    }
    const TrainingState& state = contents.state;
    if (!state.note_idf.empty()) {
      const auto size = static_cast<std::int64_t>(state.note_idf.size());
      write_safetensors(fresh / notes_file, {{idf, {state.note_idf.data(), DType::f32, {size}}}});
    }
    write_file(fresh / state_file, to_json(state).dump(1) + "\n");
    write_file(fresh / "config.toml", contents.config);
    sync_folder(fresh);
    exchange(fresh, folder, former);
  } catch (const fs::filesystem_error& error) {
    std::error_code ignored;
    fs::remove_all(fresh, ignored);
    throw InputError("checkpoint " + folder.string() +
                     " cannot be written: " + error.code().message());
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(fresh, ignored);
    throw;
  }
}

TrainingState read_training_state(const fs::path& folder) {
  const fs::path path = folder / state_file;
  if (!fs::exists(path)) {
    throw InputError(path.string() + " does not exist: is " + folder.parent_path().string() +
                     " the folder of a finished run?");
  }
  TrainingState state = training_state_from_json(
      parse_strict_json(read_text(path, most_state_bytes), path.string(), 4), path.string());
  state.note_idf = read_note_idf(folder / notes_file);
  return state;
}

void load_model(const fs::path& folder, Module& model, const std::shared_ptr<Backend>& backend) {
  const fs::path path = folder / model_file;
  load_state_dict(model, read_state(path, backend), path.string());
}

TrainingState load_checkpoint(const fs::path& folder, Module& model, Optimizer& optimizer,
                              const std::shared_ptr<Backend>& backend) {
  check_whole(folder);
  TrainingState state = read_training_state(folder);
  if (state.version < resumable_since) {
    throw InputError((folder / state_file).string() +
                     " was written by an older version of this program and does not say where in "
                     "the epoch it stands: start a new run from its weights with train.init");
  }
  const fs::path path = folder / optimizer_file;
  const StateDict optimizer_state = read_state(path, backend);
  load_model(folder, model, backend);
  optimizer.load_state_dict(optimizer_state, path.string());
  if (optimizer.steps() != state.step) {
    throw InputError(path.string() + " is of step " + std::to_string(optimizer.steps()) + ", " +
                     (folder / state_file).string() + " of step " + std::to_string(state.step) +
                     ": they are of two checkpoints");
  }
  return state;
}

}  // namespace cardiograd
