#include "trainer/history.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/input_file.h"
#include "nn/strict_json.h"
#include "nn/torch_file.h"

namespace cardiograd {
namespace {

using nlohmann::json;

constexpr std::size_t most_bytes = std::size_t{1} << 30;
constexpr int deepest_event = 4;

void take_event(const json& event, TrainingHistory& history) {
  TrainingCurves& curves = history.curves;
  const auto number = [&event](const char* key) {
    return event.at(key).is_null() ? std::nan("") : event.at(key).get<double>();
  };
  const auto kind = event.at("event").get<std::string>();
  if (kind == "start") {
    event.at("model").get_to(history.title);
  } else if (kind == "step") {
    curves.train_step.push_back(number("step"));
    curves.train_loss.push_back(number("loss"));
  } else if (kind == "epoch") {
    curves.validation_step.push_back(number("step"));
    curves.validation_loss.push_back(number("valid_loss"));
    curves.validation_auroc.push_back(number("valid_macro_auroc"));
  }
}

TrainingHistory read_events(const std::filesystem::path& path) {
  const std::string text = read_text(path, most_bytes);
  TrainingHistory history;
  int line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;  // a run that was stopped while it wrote
    const std::string where = path.string() + ", line " + std::to_string(++line);
    const json event = parse_strict_json(text.substr(begin, end - begin), where, deepest_event);
    try {
      take_event(event, history);
    } catch (const json::exception&) {
      throw InputError(where + ": a run's metrics.jsonl does not have such a line");
    }
    begin = end + 1;
  }
  return history;
}

std::vector<double> numbers(const TorchValue& file, const char* key, const std::string& path) {
  const TorchValue* list = file.find(key);
  if (list == nullptr) {
    throw InputError(path + " has no list " + quote(key) +
                     ": a metrics.pt holds train_loss_list, valid_loss_list and "
                     "global_steps_list");
  }
  try {
    std::vector<double> values;
    for (const TorchValue& item : list->items()) values.push_back(item.as_number());
    return values;
  } catch (const InputError& error) {
    throw InputError(path + ": " + key + " is not a list of numbers (" + error.what() + ")");
  }
}

TrainingHistory read_seed_metrics(const std::filesystem::path& path) {
  const TorchValue file = read_torch_file(path);
  TrainingHistory history;
  TrainingCurves& curves = history.curves;
  curves.train_loss = numbers(file, "train_loss_list", path.string());
  curves.validation_loss = numbers(file, "valid_loss_list", path.string());
  curves.train_step = numbers(file, "global_steps_list", path.string());
  curves.validation_step = curves.train_step;
  if (curves.train_loss.size() != curves.train_step.size() ||
      curves.validation_loss.size() != curves.train_step.size()) {
    throw InputError(path.string() + ": its lists of losses and steps differ in length (" +
                     std::to_string(curves.train_loss.size()) + ", " +
                     std::to_string(curves.validation_loss.size()) + " and " +
                     std::to_string(curves.train_step.size()) + ")");
  }
  return history;
}

bool is_torch_file(const std::filesystem::path& path) {
  const InputFile file(path);
  std::array<std::byte, 64> beginning{};
  const std::size_t bytes = std::min(file.size(), beginning.size());
  file.read(0, std::span(beginning).first(bytes));
  return looks_like_torch_file(std::span(beginning).first(bytes));
}

}  // namespace

TrainingHistory read_history(const std::filesystem::path& path) {
  TrainingHistory history = is_torch_file(path) ? read_seed_metrics(path) : read_events(path);
  if (history.title.empty()) history.title = path.filename().string();
  const TrainingCurves& curves = history.curves;
  if (curves.train_loss.empty() && curves.validation_loss.empty()) {
    throw InputError(path.string() + " holds no losses yet, so there is nothing to draw");
  }
  return history;
}

TrainingCurves read_curves(const std::filesystem::path& path) { return read_events(path).curves; }

}  // namespace cardiograd
