// How a training went, from the file that it left.
#pragma once

#include <filesystem>
#include <string>

#include "trainer/plots.h"

namespace cardiograd {

struct TrainingHistory {
  std::string title;  // the model's name where the file tells it, else the file's
  TrainingCurves curves;
};

// Told apart by content: metrics.jsonl of a run (finished or not; a last line that is cut off is
// passed over), or the seed's metrics.pt, a dict of the lists train_loss_list, valid_loss_list and
// global_steps_list. Throws InputError, naming file and line or list, for anything else.
TrainingHistory read_history(const std::filesystem::path& path);

// The curves of a metrics.jsonl, which may be empty. Throws InputError as above.
TrainingCurves read_curves(const std::filesystem::path& path);

}  // namespace cardiograd
