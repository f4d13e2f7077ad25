// What a profile (nn/profile.h) found, for people and programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "nn/profile.h"

namespace cardiograd {

// A sentence, and a table: a row an operation of a layer in a pass, the longest first, those below
// 0.1 % of a step together; then what was between them, and the step. A sentence alone where no
// step was timed.
std::string profile_table(const ProfileReport& report);

// "steps", "skipped_steps", "step_microseconds", "between_microseconds" and "operations": for each
// all of "layer" ("" outside of layers), "operation", "pass" ("" outside of passes), "calls",
// "microseconds" and "share", of a mean step.
nlohmann::ordered_json profile_json(const ProfileReport& report);

}  // namespace cardiograd
