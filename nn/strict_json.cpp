#include "nn/strict_json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {

nlohmann::json parse_strict_json(std::string_view text, const std::string& where, int max_depth) {
  using nlohmann::json;
  std::vector<std::set<std::string>> open;  // the keys of each open object; arrays have none
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (static_cast<int>(open.size()) == max_depth) {
          throw InputError(where + ": its JSON is nested deeper than " + std::to_string(max_depth) +
                           " levels");
        }
        open.emplace_back();
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        open.pop_back();
        break;
      case json::parse_event_t::key:
        if (!open.back().insert(parsed.get_ref<const std::string&>()).second) {
          throw InputError(where + ": its JSON has the key " +
                           quote(parsed.get_ref<const std::string&>()) + " twice");
        }
        break;
      case json::parse_event_t::value:
        break;
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::parse_error& error) {
    throw InputError(where + ": its JSON cannot be read at byte " + std::to_string(error.byte));
  } catch (const json::out_of_range&) {
    throw InputError(where + ": its JSON has a number that is out of range");
  }
}

}  // namespace cardiograd
