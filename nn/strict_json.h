// JSON from files that may be hostile.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace cardiograd {

// Parses `text`. Refuses, by an InputError that begins with `where` (a file's name): what is not
// JSON, a key that stands twice in one object, nesting deeper than `max_depth`.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where, int max_depth);

}  // namespace cardiograd
