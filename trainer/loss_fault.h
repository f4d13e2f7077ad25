// A loss that is no number, and what becomes of the run (train.on_nan).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/error.h"

namespace cardiograd {

inline constexpr std::int64_t most_rollbacks = 3;
inline constexpr std::int64_t most_skipped_in_row = 10;

// Thrown where a loss is NaN or infinite. what(): the sentence that ends the run.
class LossFault : public Error {
 public:
  // what: "loss" or "validation loss"; ecg_ids: of the batch, empty in validation.
  LossFault(const std::string& what, double value, std::int64_t step, std::int64_t epoch,
            std::vector<std::int32_t> ecg_ids, const std::string& before = "");

  double value() const { return value_; }
  std::int64_t step() const { return step_; }
  std::int64_t epoch() const { return epoch_; }
  const std::vector<std::int32_t>& ecg_ids() const { return ecg_ids_; }

 private:
  double value_;
  std::int64_t step_, epoch_;
  std::vector<std::int32_t> ecg_ids_;
};

// "nan", "inf" or "-inf": JSON has no such numbers.
std::string name_of_loss(double value);

}  // namespace cardiograd
