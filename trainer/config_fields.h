// The table of configuration keys: name, meaning, bounds, and where each lives in RunConfig.
// Reading, writing and describing a config all go by it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "trainer/config.h"

namespace cardiograd {

// Where a key's value lives; its type is what the key wants.
using ConfigSlot = std::variant<std::string*, std::int64_t*, double*, bool*,
                                std::vector<std::string>*, std::vector<std::int64_t>*>;

struct ConfigField {
  std::string key;
  std::string meaning;
  std::function<ConfigSlot(RunConfig&)> slot;
  std::vector<std::string> allowed{};  // for strings and lists of them; empty: anything
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
};

// In the order in which to_toml writes them: keys without a section first, then section by section.
const std::vector<ConfigField>& config_fields();

// A value as TOML writes it: "0.1", "[1, 2]", "'text'".
std::string to_text(const ConfigSlot& slot);

// Those of the sections loss, schedule and augment; config_fields() holds them too.
std::vector<ConfigField> loss_fields();
std::vector<ConfigField> schedule_fields();
std::vector<ConfigField> augment_fields();

}  // namespace cardiograd
