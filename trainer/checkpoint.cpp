#include "trainer/checkpoint.h"

#include <cmath>
#include <cstdio>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "data/notes.h"
#include "nn/atomic_file.h"
#include "nn/input_file.h"
#include "nn/state_dict.h"
#include "nn/strict_json.h"

namespace cardiograd {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int state_version = 1;
constexpr const char* notes_file = "notes.safetensors";
constexpr const char* idf = "note_idf";
constexpr std::size_t most_state_bytes = 1 << 20;

json number_or_null(double value) { return std::isfinite(value) ? json(value) : json(); }

json to_json(const TrainingState& state) {
  return {{"format", "cardiograd-checkpoint"},
          {"version", state_version},
          {"epoch", state.epoch},
          {"step", state.step},
          {"seed", state.seed},
          {"valid_loss", number_or_null(state.valid_loss)},
          {"valid_auroc", number_or_null(state.valid_auroc)},
          {"task", state.task},
          {"classes", state.classes},
          {"model",
           {{"name", state.model.name},
            {"classes", state.model.classes},
            {"leads", state.model.leads},
            {"length", state.model.length},
            {"note_size", state.model.note_size},
            {"dropout", state.model.dropout},
            {"batch_norm", state.model.batch_norm}}},
          {"pos_weight", state.pos_weight},
          {"denoise", state.denoise ? json(state.denoise->to_string()) : json()},
          {"standardisation",
           {{"mean", state.standardisation.mean}, {"std", state.standardisation.std}}}};
}

TrainingState from_json(const json& value) {
  TrainingState state;
  if (value.at("format") != "cardiograd-checkpoint" || value.at("version") != state_version) {
    throw InputError("its format or version is not what this program writes");
  }
  value.at("epoch").get_to(state.epoch);
  value.at("step").get_to(state.step);
  value.at("seed").get_to(state.seed);
  const auto number = [&value](const char* key) {
    return value.at(key).is_null() ? std::nan("") : value.at(key).get<double>();
  };
  state.valid_loss = number("valid_loss");
  state.valid_auroc = number("valid_auroc");
  value.at("task").get_to(state.task);
  value.at("classes").get_to(state.classes);
  const json& model = value.at("model");
  model.at("name").get_to(state.model.name);
  model.at("classes").get_to(state.model.classes);
  model.at("leads").get_to(state.model.leads);
  model.at("length").get_to(state.model.length);
  model.at("note_size").get_to(state.model.note_size);
  model.at("dropout").get_to(state.model.dropout);
  model.at("batch_norm").get_to(state.model.batch_norm);
  if (const json& denoise = value.at("denoise"); !denoise.is_null()) {
    state.denoise = parse_denoise(denoise.get<std::string>(), "denoise");
  }
  value.at("pos_weight").get_to(state.pos_weight);
  if (!state.pos_weight.empty() && state.pos_weight.size() != state.classes.size()) {
    throw InputError("pos_weight does not list one number a class or none");
  }
  const json& standardisation = value.at("standardisation");
  standardisation.at("mean").get_to(state.standardisation.mean);
  standardisation.at("std").get_to(state.standardisation.std);
  const std::size_t leads = state.standardisation.mean.size();
  if ((leads != 0 && leads != packed_leads) || state.standardisation.std.size() != leads) {
    throw InputError("standardisation does not list 12 leads or none");
  }
  return state;
}

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

// After this, `target` holds what `fresh` held; an old target is gone.
void exchange(const fs::path& fresh, const fs::path& target) {
  if (!fs::exists(target)) {
    fs::rename(fresh, target);
  } else if (renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    fs::remove_all(fresh);
  } else {
    // A file system that cannot exchange: for a moment there is only the old one under another
    // name.
    const fs::path old = target.string() + ".old";
    fs::remove_all(old);
    fs::rename(target, old);
    fs::rename(fresh, target);
    fs::remove_all(old);
  }
  sync_folder(target.parent_path());
}

}  // namespace

void save_checkpoint(const fs::path& folder, const Module& model, const Optimizer* optimizer,
                     const TrainingState& state, const std::string& config) {
  const fs::path fresh = folder.string() + ".writing";
  try {
    fs::remove_all(fresh);
    fs::create_directories(fresh);
    save_state(fresh / "model.safetensors", state_dict(model), {{"format", "pt"}});
    if (optimizer) save_state(fresh / "optimizer.safetensors", optimizer->state_dict());
    if (!state.note_idf.empty()) {
      const auto size = static_cast<std::int64_t>(state.note_idf.size());
      write_safetensors(fresh / notes_file, {{idf, {state.note_idf.data(), DType::f32, {size}}}});
    }
    write_file(fresh / "state.json", to_json(state).dump(1) + "\n");
    write_file(fresh / "config.toml", config);
    sync_folder(fresh);
    exchange(fresh, folder);
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
  const fs::path path = folder / "state.json";
  if (!fs::exists(path)) {
    throw InputError(path.string() + " does not exist: is " + folder.parent_path().string() +
                     " the folder of a finished run?");
  }
  const json state = parse_strict_json(read_text(path, most_state_bytes), path.string(), 4);
  std::vector<float> note_idf = read_note_idf(folder / notes_file);
  try {
    TrainingState result = from_json(state);
    result.note_idf = std::move(note_idf);
    return result;
  } catch (const json::exception&) {
    throw InputError(path.string() +
                     " is not the state of a checkpoint: a field is missing or of another type");
  } catch (const InputError& error) {
    throw InputError(path.string() + " is not the state of a checkpoint: " + error.what());
  }
}

void load_model(const fs::path& folder, Module& model, const std::shared_ptr<Backend>& backend) {
  const fs::path path = folder / "model.safetensors";
  load_state_dict(model, read_state(path, backend), path.string());
}

}  // namespace cardiograd
