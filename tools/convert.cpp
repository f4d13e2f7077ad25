// cardiograd convert IN OUT: PyTorch's files to safetensors and JSON.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/note_matrix.h"
#include "kernels/text.h"
#include "nn/torch_file.h"
#include "nn/utf8.h"
#include "nn/weights_file.h"
#include "tools/verbs.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

struct Options {
  fs::path in;
  fs::path out;
  bool force = false;
};

constexpr const char* examples = R"(Examples:
  cardiograd convert model_MMCNN_CAT.pt model.safetensors
      the weights: the dict under model_state_dict, state_dict or model, or the
      file's own tensors, under PyTorch's names and shapes; numbers and strings
      beside them become metadata, all else is named as left out
  cardiograd convert metrics_MMCNN_CAT.pt metrics.json
      the whole file as JSON; as .jsonl one line an entry of its lists
  cardiograd convert embeddings/ notes.safetensors
      a folder of ECG_ID.pt files as one matrix, for data.notes: ecg_id i32 [n]
      and notes f32 [n, d])";

void check_target(const Options& options) {
  if (fs::is_directory(options.out)) {
    throw InputError(options.out.string() + " is a folder; name a file");
  }
  if (fs::exists(options.out) && !options.force) {
    throw InputError(options.out.string() +
                     " exists already: choose another name, or replace it by --force");
  }
}

// Text for a number or a string; empty where a value is neither.
std::string scalar_text(const TorchValue& value) {
  switch (value.kind()) {
    case TorchKind::boolean:
      return value.as_boolean() ? "true" : "false";
    case TorchKind::integer:
      return std::to_string(value.as_integer());
    case TorchKind::number:
      return shortest_number(value.as_number());
    case TorchKind::string:
      return valid_utf8(value.as_string());
    default:
      return "";
  }
}

std::string key_text(const TorchValue& key) {
  const std::string text = scalar_text(key);
  return text.empty() ? std::string(name_of(key.kind())) : valid_utf8(text);
}

// What stands beside the weights: metadata where it is text or a number, else named as left out.
struct Rest {
  Metadata metadata{{"format", "pt"}};
  std::vector<std::string> left_out;

  void add(const TorchValue& dict, const TorchValue* weights) {
    for (const TorchEntry& entry : dict.entries()) {
      if (&entry.value == weights) continue;
      const std::string key = key_text(entry.key);
      const std::string text = scalar_text(entry.value);
      const bool weight = &dict == weights && entry.value.is(TorchKind::tensor);
      if (weight && entry.key.is(TorchKind::string)) continue;
      if (text.empty()) {
        left_out.push_back(key + " (" + std::string(name_of(entry.value.kind())) + ")");
      } else {
        metadata.emplace(key, text);
      }
    }
  }
};

void convert_weights(const Options& options) {
  const TorchValue file = read_torch_file(options.in);
  std::string key;
  const TorchValue* weights = find_state_dict(file, key);
  if (weights == nullptr) {
    throw InputError(options.in.string() +
                     " holds no dict of tensors; metrics can be converted to .json");
  }
  const StateDict state = to_state(*weights, make_backend("cpu"), options.in.string());
  Rest rest;
  rest.add(file, weights);
  if (weights != &file) rest.add(*weights, weights);
  save_state(options.out, state, rest.metadata);

  std::int64_t values = 0;
  for (const StateEntry& entry : state) values += entry.value.numel();
  std::printf("tensors   %zu with %lld values%s\n", state.size(), static_cast<long long>(values),
              key.empty() ? "" : (", from " + quote(key)).c_str());
  for (const auto& [name, text] : rest.metadata) {
    if (name != "format") std::printf("metadata  %s = %s\n", name.c_str(), text.c_str());
  }
  if (!rest.left_out.empty()) std::printf("left out  %s\n", join(rest.left_out).c_str());
}

ordered_json tensor_json(const Dims& dims, int axis, const std::vector<double>& values,
                         std::size_t& at) {
  if (axis == dims.rank()) return values[at++];
  ordered_json list = ordered_json::array();
  for (std::int64_t i = 0; i < dims[axis]; ++i) {
    list.push_back(tensor_json(dims, axis + 1, values, at));
  }
  return list;
}

ordered_json to_json(const TorchValue& value, const std::string& name) {
  switch (value.kind()) {
    case TorchKind::none:
      return nullptr;
    case TorchKind::boolean:
      return value.as_boolean();
    case TorchKind::integer:
      return value.as_integer();
    case TorchKind::number:
      return value.as_number();
    case TorchKind::string:
      return valid_utf8(value.as_string());
    case TorchKind::tensor: {
      std::size_t at = 0;
      const TorchTensor& tensor = value.as_tensor();
      return tensor_json(tensor.dims(), 0, tensor.values<double>(), at);
    }
    case TorchKind::list:
    case TorchKind::tuple: {
      ordered_json list = ordered_json::array();
      for (const TorchValue& item : value.items()) list.push_back(to_json(item, name));
      return list;
    }
    case TorchKind::dict: {
      ordered_json dict = ordered_json::object();
      for (const TorchEntry& entry : value.entries()) {
        dict[key_text(entry.key)] = to_json(entry.value, name);
      }
      return dict;
    }
    default:
      throw InputError(name + " holds " + std::string(name_of(value.kind())) +
                       ", which JSON does not have");
  }
}

// A dict of lists, one line a position: {"step": ..., "loss": ...}.
std::string json_lines(const ordered_json& file, const std::string& name) {
  std::size_t lines = 0;
  for (const auto& [key, list] : file.items()) {
    if (!file.is_object() || !list.is_array()) {
      throw InputError(name + " is no dict of lists, as .jsonl needs it; convert it to .json");
    }
    lines = std::max(lines, list.size());
  }
  std::string text;
  for (std::size_t i = 0; i < lines; ++i) {
    ordered_json line = ordered_json::object();
    for (const auto& [key, list] : file.items()) {
      if (i < list.size()) line[key] = list[i];
    }
    text += line.dump() + "\n";
  }
  return text;
}

void convert_to_json(const Options& options) {
  const std::string name = options.in.string();
  const ordered_json json = to_json(read_torch_file(options.in), name);
  write_file(options.out,
             options.out.extension() == ".json" ? json.dump(1) + "\n" : json_lines(json, name));
}

// The ecg_ids of a folder's files ID.pt, ascending; `others` counts all other files.
std::vector<std::int32_t> ids_in(const fs::path& folder, std::size_t& others) {
  std::vector<std::int32_t> ids;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    std::int32_t id = 0;
    const std::string stem = entry.path().stem().string();
    // A name such as 007.pt would not be found again by its number.
    const bool named =
        entry.path().extension() == ".pt" && parse_number(stem, id) && std::to_string(id) == stem;
    if (named) {
      ids.push_back(id);
    } else {
      ++others;
    }
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

void convert_embeddings(const Options& options) {
  std::size_t others = 0;
  const std::vector<std::int32_t> ids = ids_in(options.in, others);
  if (ids.empty()) {
    throw InputError(options.in.string() + " holds no files named by ecg_id, like 1.pt");
  }
  NoteRows notes;
  for (const std::int32_t id : ids) notes.add(options.in / (std::to_string(id) + ".pt"));
  write_safetensors(options.out,
                    {{"ecg_id", {ids.data(), DType::i32, {notes.rows()}}},
                     {"notes", {notes.values().data(), DType::f32, {notes.rows(), notes.size()}}}});
  std::printf("notes     %lld of %lld values\n", static_cast<long long>(notes.rows()),
              static_cast<long long>(notes.size()));
  if (others > 0) std::printf("left out  %zu files of other names\n", others);
}

void convert(const Options& options) {
  check_target(options);
  const std::string kind = options.out.extension().string();
  const bool folder = fs::is_directory(options.in);
  if (kind == ".safetensors") {
    folder ? convert_embeddings(options) : convert_weights(options);
  } else if ((kind == ".json" || kind == ".jsonl") && !folder) {
    convert_to_json(options);
  } else {
    throw InputError(options.out.string() + ": " +
                     (folder ? "a folder of embeddings is converted to .safetensors"
                             : "the name must end in .safetensors, .json or .jsonl"));
  }
  std::printf("written   %s (%.1f kB)\n", options.out.c_str(),
              static_cast<double>(fs::file_size(options.out)) / 1e3);
}

}  // namespace

void add_convert(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("convert", "Convert PyTorch's files to safetensors or JSON");
  verb->add_option("in", options->in, "A .pt file, or a folder of note embeddings ECG_ID.pt")
      ->required();
  verb->add_option("out", options->out, "A name ending in .safetensors, .json or .jsonl")
      ->required();
  verb->add_flag("--force", options->force, "Replace a file that exists");
  verb->footer(examples);
  verb->callback([options] { convert(*options); });
}

}  // namespace cardiograd
