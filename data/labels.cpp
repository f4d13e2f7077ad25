#include "data/labels.h"

#include <algorithm>

#include "kernels/error.h"
#include "kernels/text.h"

namespace cardiograd {
namespace {

// The class that a statement has in a task, empty for none.
std::string class_in_task(std::string_view task, const ScpStatement& statement) {
  if (task == "all") return statement.code;
  if (task == "form") return statement.form ? statement.code : "";
  if (task == "rhythm") return statement.rhythm ? statement.code : "";
  if (!statement.diagnostic) return "";
  if (task == "subdiagnostic") return statement.diagnostic_subclass;
  if (task == "superdiagnostic") return statement.diagnostic_class;
  return statement.code;
}

}  // namespace

const std::vector<std::string>& task_names() {
  static const std::vector<std::string> names = {
      "all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm"};
  return names;
}

LabelTask make_task(std::string_view name, const std::vector<ScpStatement>& statements) {
  const auto& known = task_names();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    throw InputError("there is no task " + quote(name) + suggestion(name, known));
  }
  LabelTask task;
  task.name = name;
  for (const ScpStatement& statement : statements) {
    task.classes.push_back(class_in_task(name, statement));
  }
  const std::vector<std::string> class_names = task.classes;
  std::sort(task.classes.begin(), task.classes.end());
  task.classes.erase(std::unique(task.classes.begin(), task.classes.end()), task.classes.end());
  std::erase(task.classes, "");
  for (const std::string& class_name : class_names) {
    const auto found = std::lower_bound(task.classes.begin(), task.classes.end(), class_name);
    task.class_of.push_back(class_name.empty() ? -1
                                               : static_cast<int>(found - task.classes.begin()));
  }
  return task;
}

TaskTargets make_targets(const LabelTask& task, std::span<const float> likelihood) {
  const std::size_t statements = task.class_of.size();
  CG_CHECK(statements > 0 && likelihood.size() % statements == 0,
           "likelihoods must be [records, " + std::to_string(statements) + "]");
  TaskTargets result;
  std::vector<float> row(task.classes.size());
  for (std::size_t record = 0; record < likelihood.size() / statements; ++record) {
    std::fill(row.begin(), row.end(), 0.0F);
    bool labelled = false;
    for (std::size_t statement = 0; statement < statements; ++statement) {
      const int label = task.class_of[statement];
      if (label < 0 || likelihood[record * statements + statement] < 0) continue;
      row[static_cast<std::size_t>(label)] = 1.0F;
      labelled = true;
    }
    if (labelled) {
      result.records.push_back(static_cast<std::int32_t>(record));
      result.targets.insert(result.targets.end(), row.begin(), row.end());
    } else {
      ++result.dropped;
    }
  }
  return result;
}

}  // namespace cardiograd
