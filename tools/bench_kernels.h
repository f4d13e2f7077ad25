// cardiograd bench --kernels: the time of each kernel on a GPU, and its share of what the GPU was
// found to do.
#pragma once

#include <string>

#include "tools/bench_report.h"

namespace cardiograd {

struct KernelBench {
  std::string device = "cuda";
  std::string filter;  // only cases whose line in the table contains it
  int rounds = 25;
  BenchJson json;
};

// Throws InputError where no case has the filter's text, DeviceError where there is no such GPU.
void bench_kernels(const KernelBench& options);

}  // namespace cardiograd
