#include "nn/flop_meter.h"

namespace cardiograd {

namespace {

thread_local FlopMeter* innermost = nullptr;

}  // namespace

FlopMeter::FlopMeter() : outer_(innermost) { innermost = this; }
FlopMeter::~FlopMeter() { innermost = outer_; }

void FlopMeter::count_multiply_adds(std::int64_t outputs, std::int64_t inputs_per_output) {
  if (innermost) {
    innermost->flops_ +=
        2.0 * static_cast<double>(outputs) * static_cast<double>(inputs_per_output);
  }
}

}  // namespace cardiograd
