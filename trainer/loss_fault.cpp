#include "trainer/loss_fault.h"

#include <cmath>
#include <utility>

namespace cardiograd {

namespace {

std::string sentence(const std::string& what, double value, std::int64_t step, std::int64_t epoch,
                     const std::vector<std::int32_t>& ecg_ids, const std::string& before) {
  std::string text = "the " + what + " became " + (std::isnan(value) ? "nan" : "infinite") +
                     " at step " + std::to_string(step) + " (epoch " + std::to_string(epoch) + ")" +
                     before + ": lower train.lr or set train.clip_norm";
  if (ecg_ids.empty()) return text;
  text += "; the batch's ecg_ids were";
  for (std::int32_t id : ecg_ids) text += " " + std::to_string(id);
  return text;
}

}  // namespace

LossFault::LossFault(const std::string& what, double value, std::int64_t step, std::int64_t epoch,
                     std::vector<std::int32_t> ecg_ids, const std::string& before)
    : Error(sentence(what, value, step, epoch, ecg_ids, before)),
      value_(value),
      step_(step),
      epoch_(epoch),
      ecg_ids_(std::move(ecg_ids)) {}

std::string name_of_loss(double value) {
  if (std::isnan(value)) return "nan";
  return value > 0.0 ? "inf" : "-inf";
}

}  // namespace cardiograd
