// The six classification tasks on PTB-XL (Strodthoff et al., "Deep learning for ECG analysis:
// benchmarking and insights from PTB-XL", IEEE JBHI 25(5), 2021).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/ptbxl.h"

namespace cardiograd {

// A likelihood below 0 says that the statement is absent; 0 says "present, likelihood unknown".
inline constexpr float statement_absent = -1.0F;

struct LabelTask {
  std::string name;
  std::vector<std::string> classes;  // in alphabetical order (of bytes)
  std::vector<int> class_of;         // [statements]; -1: no part of this task
};

// all, diagnostic, subdiagnostic, superdiagnostic, form, rhythm: with the published statements 71,
// 44, 23, 5, 19 and 12 classes.
const std::vector<std::string>& task_names();

// Throws InputError with the list and the nearest name where there is no such task.
LabelTask make_task(std::string_view name, const std::vector<ScpStatement>& statements);

struct TaskTargets {
  std::vector<std::int32_t> records;  // the kept records' numbers, ascending
  std::vector<float> targets;         // [kept, classes], 0 or 1
  std::int64_t dropped = 0;           // records without a label of this task
};

// likelihood: [records, statements], row by row. Records without any label of the task are dropped.
TaskTargets make_targets(const LabelTask& task, std::span<const float> likelihood);

}  // namespace cardiograd
