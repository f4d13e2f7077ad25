// What a training step holds in memory, for people and programs.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace cardiograd {

struct MemoryReport {
  using Rows = std::vector<std::pair<std::string, std::size_t>>;
  Rows standing;  // bytes that stay from step to step, by what they hold
  Rows step;  // and what the step has besides at the moment when that is most: by layer and pass
  std::size_t step_peak = 0;  // of the latter together
  std::size_t arena = 0;      // the memory that a replayed step lives in; 0: it is not replayed
};

// A sentence and a table, the largest first, what is below 0.5 % together.
std::string memory_table(const MemoryReport& report);

// "standing" and "step_at_peak": bytes by owner; "step_peak_bytes", "arena_bytes".
nlohmann::ordered_json memory_json(const MemoryReport& report);

}  // namespace cardiograd
