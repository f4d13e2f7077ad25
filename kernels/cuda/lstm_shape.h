// The sizes of one direction of an LSTM layer, for its kernels and its plans.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/lstm_saved.h"

namespace cardiograd::cuda {

struct Lstm {
  std::int64_t records = 0;
  std::int64_t length = 0;
  std::int64_t inputs = 0;
  std::int64_t units = 0;
  bool reverse = false;
  bool last_step = false;

  // The time that the direction reaches at its step `step`.
  CG_HOST_DEVICE std::int64_t time(std::int64_t step) const {
    return reverse ? length - 1 - step : step;
  }
};

}  // namespace cardiograd::cuda
