// cardiograd bench --augment: what it costs to gather and augment a batch.
#pragma once

#include <cstdint>
#include <string>

#include "tools/bench_report.h"

namespace cardiograd {

struct AugmentBench {
  std::string device = "cpu";
  std::int64_t batch = 256;
  std::int64_t length = 1000;  // samples
  int steps = 10;
  int rounds = 5;
  BenchJson json;
};

// Prints microseconds a record without augmentation, with the seed's noise and masks, and with
// everything. Records are random and lie in memory.
void bench_augment(const AugmentBench& options);

}  // namespace cardiograd
