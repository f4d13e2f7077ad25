#include "trainer/config.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <sstream>
#include <toml++/toml.h>
#include <variant>

#include "kernels/backend.h"
#include "kernels/error.h"
#include "kernels/text.h"
#include "nn/input_file.h"
#include "trainer/config_fields.h"

namespace cardiograd {

namespace {

using Strings = std::vector<std::string>;
using Integers = std::vector<std::int64_t>;

const ConfigField* find_field(const std::string& key) {
  for (const ConfigField& field : config_fields()) {
    if (field.key == key) return &field;
  }
  return nullptr;
}

constexpr std::size_t most_config_bytes = 1 << 20;

// What a field of this kind wants, as the sentences say it.
const char* wanted(const ConfigSlot& slot) {
  static constexpr const char* kinds[] = {"a string",
                                          "an integer",
                                          "a number",
                                          "true or false",
                                          "a list of strings such as [\"a\", \"b\"]",
                                          "a list of integers such as [1, 2]"};
  return kinds[slot.index()];
}

const char* kind_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::table:
      return "a section";
    default:
      return "a date or time";
  }
}

[[noreturn]] void fail_type(const std::string& where, const ConfigField& field,
                            const ConfigSlot& slot, const toml::node& node) {
  throw InputError(where + ": " + field.key + " needs " + wanted(slot) + ", not " + kind_of(node));
}

template <class T>
T element(const std::string& where, const ConfigField& field, const ConfigSlot& slot,
          const toml::node& node) {
  if (const std::optional<T> value = node.value_exact<T>()) return *value;
  fail_type(where, field, slot, node);
}

void check_number(const std::string& where, const ConfigField& field, double value) {
  std::string bound = "a finite number";
  if (std::isfinite(value)) {
    if (value >= field.least && value <= field.most) return;
    bound = value < field.least ? "at least " + shortest_number(field.least)
                                : "at most " + shortest_number(field.most);
  }
  throw InputError(where + ": " + field.key + " must be " + bound + ", not " +
                   shortest_number(value));
}

void check_string(const std::string& where, const ConfigField& field, const std::string& value) {
  if (field.allowed.empty()) return;
  if (std::find(field.allowed.begin(), field.allowed.end(), value) != field.allowed.end()) return;
  throw InputError(where + ": " + field.key + " has no value " + quote(value) +
                   suggestion(value, field.allowed));
}

// Assigns one TOML value to the field's slot.
struct Assign {
  const std::string& where;
  const ConfigField& field;
  const toml::node& node;

  void operator()(std::string* slot) const {
    *slot = element<std::string>(where, field, slot, node);
    check_string(where, field, *slot);
  }
  void operator()(std::int64_t* slot) const {
    *slot = element<std::int64_t>(where, field, slot, node);
    check_number(where, field, static_cast<double>(*slot));
  }
  void operator()(double* slot) const {
    if (!node.is_number()) fail_type(where, field, slot, node);
    *slot = *node.value<double>();
    check_number(where, field, *slot);
  }
  void operator()(bool* slot) const { *slot = element<bool>(where, field, slot, node); }
  void operator()(Strings* slot) const {
    list(slot, [this](const std::string& v) { check_string(where, field, v); });
  }
  void operator()(Integers* slot) const {
    list(slot, [this](std::int64_t v) { check_number(where, field, static_cast<double>(v)); });
  }

 private:
  template <class T, class Check>
  void list(std::vector<T>* slot, Check check) const {
    const toml::array* values = node.as_array();
    if (!values) fail_type(where, field, slot, node);
    slot->clear();
    for (const toml::node& value : *values) {
      slot->push_back(element<T>(where, field, slot, value));
      check(slot->back());
    }
    // Free words, such as patterns of names, may be none.
    if (slot->empty() && (std::is_same_v<T, std::int64_t> || !field.allowed.empty())) {
      throw InputError(where + ": " + field.key + " must not be empty");
    }
  }
};

// The key that somebody meant; "" where that cannot be told.
std::string meant_by(const std::string& key) {
  // What others call them, too far from our names for a distance of letters.
  static const std::map<std::string, std::string> others{
      {"train.learning_rate", "train.lr"},
      {"train.schedule", "schedule.name"},
      {"train.scheduler", "schedule.name"},
      {"train.loss", "loss.name"},
      {"train.label_smoothing", "loss.smoothing"},
      {"train.warmup_epochs", "schedule.warmup_epochs"},
      {"train.patience", "train.early_stopping"}};
  if (const auto found = others.find(key); found != others.end()) return found->second;
  Strings known;
  for (const ConfigField& candidate : config_fields()) known.push_back(candidate.key);
  return std::string(nearest(key, known));
}

void assign(RunConfig& config, const std::string& where, const std::string& key,
            const toml::node& node) {
  const ConfigField* field = find_field(key);
  if (!field) {
    const std::string near = meant_by(key);
    throw InputError(where + ": unknown key " + quote(key) +
                     (near.empty() ? std::string("; trainer fit --help-config lists all keys")
                                   : "; did you mean \"" + std::string(near) + "\"?"));
  }
  std::visit(Assign{where, *field, node}, field->slot(config));
}

bool is_section(const std::string& name) {
  return std::any_of(config_fields().begin(), config_fields().end(),
                     [&](const ConfigField& field) { return field.key.starts_with(name + "."); });
}

void apply_table(RunConfig& config, const std::string& file, const toml::table& table,
                 const std::string& prefix) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    const toml::table* section = prefix.empty() ? node.as_table() : nullptr;
    if (section && (!section->empty() || is_section(key))) {
      apply_table(config, file, *section, key + ".");
      continue;
    }
    assign(config, file + ", line " + std::to_string(name.source().begin.line), key, node);
  }
}

void apply_override(RunConfig& config, const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string where = "command line, " + quote(text);
  if (equals == std::string::npos || equals == 0) {
    throw InputError(where + ": an override reads section.key=value");
  }
  const std::string key = text.substr(0, equals);
  const std::string value = text.substr(equals + 1);
  const ConfigField* field = find_field(key);
  // A string needs no quotes on the command line: the shell has taken them.
  const bool bare = field && std::holds_alternative<std::string*>(field->slot(config)) &&
                    (value.empty() || value.front() != '"');
  try {
    toml::table parsed;
    if (bare) {
      parsed.insert("value", value);
    } else {
      parsed = toml::parse("value = " + value);
    }
    const toml::node* node = parsed.get("value");
    if (!node || parsed.size() != 1) throw InputError(where + ": an override sets one key alone");
    assign(config, where, key, *node);
  } catch (const toml::parse_error&) {
    if (!field) assign(config, where, key, toml::value<std::string>(value));
    throw InputError(where + ": " + key + " needs " + wanted(field->slot(config)));
  }
}

void check_together(const RunConfig& config, const std::string& file, RunDir run_dir) {
  const auto need = [&](bool holds, const std::string& sentence) {
    if (!holds) throw InputError(file + ": " + sentence);
  };
  need(!config.data.path.empty(),
       "data.path is missing: name the file that cardiograd prepare wrote");
  need(run_dir == RunDir::optional || !config.run.dir.empty(),
       "run.dir is missing: name the folder that the run shall make");
  need(config.data.rate == 100 || config.data.rate == 500, "data.rate must be 100 or 500");
  need(config.device != "cpu" || config.precision == "fp32",
       "precision \"" + config.precision + "\" needs a CUDA device; on the CPU use \"fp32\"");
  need(config.train.init_except.empty() || !config.train.init.empty(),
       "train.init_except needs train.init: name the weights to start from");
  need(!config.model.sync_batch_norm || config.model.batch_norm,
       "model.sync_batch_norm needs model.batch_norm: set both, or neither");
  const RunConfig::Schedule& schedule = config.schedule;
  need(schedule.warmup_epochs == 0.0 || (schedule.name != "one_cycle" && schedule.name != "fastai"),
       "schedule.name = \"" + schedule.name +
           "\" warms up by itself: leave schedule.warmup_epochs out");
  const RunConfig::Augment& augment = config.augment;
  need(augment.mask_shortest <= augment.mask_longest,
       "augment.mask_shortest must not exceed augment.mask_longest");
  need(augment.amplitude_low <= augment.amplitude_high,
       "augment.amplitude_low must not exceed augment.amplitude_high");
  need(augment.hum_hz == 50 || augment.hum_hz == 60, "augment.hum_hz must be 50 or 60");
  need(!augment.only_copies || !augment.copies_of.empty(),
       "augment.only_copies needs augment.copies_of: name the class to copy");
  for (std::int64_t fold : config.data.train_folds) {
    for (const Integers* others : {&config.data.valid_folds, &config.data.test_folds}) {
      need(std::find(others->begin(), others->end(), fold) == others->end(),
           "fold " + std::to_string(fold) + " is both trained on and evaluated");
    }
  }
}

}  // namespace

BackendOptions backend_options(const RunConfig& config) {
  return {.tf32 = config.precision == "tf32",
          .deterministic = config.deterministic,
          .plans = config.plans,
          .plan_file = config.plan_file};
}

std::string to_text(const ConfigSlot& slot) {
  toml::table table;
  std::visit(
      [&table](auto* value) {
        using T = std::remove_pointer_t<decltype(value)>;
        if constexpr (std::is_same_v<T, Strings> || std::is_same_v<T, Integers>) {
          toml::array array;
          for (const auto& item : *value) array.push_back(item);
          table.insert("v", array);
        } else {
          table.insert("v", *value);
        }
      },
      slot);
  std::ostringstream text;
  text << toml::toml_formatter{table, toml::format_flags::none};
  return text.str().substr(text.str().find('=') + 2);
}

bool RunConfig::reads(const std::string& input) const {
  return std::find(data.inputs.begin(), data.inputs.end(), input) != data.inputs.end();
}

std::int64_t RunConfig::samples_in(double seconds) const {
  return std::llround(seconds * static_cast<double>(data.rate));
}

RunConfig read_config(const std::filesystem::path& path, const Strings& overrides, RunDir run_dir) {
  if (!std::filesystem::exists(path)) {
    throw InputError("config " + path.string() +
                     " does not exist; ready ones lie in trainer/configs");
  }
  RunConfig config;
  try {
    apply_table(config, path.string(), toml::parse(read_text(path, most_config_bytes)), "");
  } catch (const toml::parse_error& error) {
    throw InputError(path.string() + ", line " + std::to_string(error.source().begin.line) +
                     ": this is not TOML: " + std::string(error.description()));
  }
  for (const std::string& text : overrides) apply_override(config, text);
  check_together(config, path.string(), run_dir);
  return config;
}

std::string to_toml(const RunConfig& config) {
  RunConfig copy = config;
  std::string text, section;
  for (const ConfigField& field : config_fields()) {
    const std::size_t dot = field.key.find('.');
    const std::string name = dot == std::string::npos ? "" : field.key.substr(0, dot);
    if (name != section) {
      text += "\n[" + name + "]\n";
      section = name;
    }
    const std::string key = dot == std::string::npos ? field.key : field.key.substr(dot + 1);
    text += key + " = " + to_text(field.slot(copy));
    if (!field.meaning.empty()) text += "  # " + field.meaning;
    text += "\n";
  }
  return text;
}

std::string describe_config() {
  RunConfig defaults;
  std::string text =
      "Keys of a config file, with defaults; on the command line section.key=value "
      "overrides them.\n";
  for (const ConfigField& field : config_fields()) {
    std::string line = "  " + field.key + " = " + to_text(field.slot(defaults));
    if (line.size() < 44) line.resize(44, ' ');
    text += line + " " + field.meaning;
    if (!field.allowed.empty()) {
      text += (field.meaning.empty() ? "" : ": ") + join(field.allowed, " | ");
    }
    text += "\n";
  }
  return text;
}

}  // namespace cardiograd
