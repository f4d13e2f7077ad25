// Counts the arithmetic of convolutions and matrix products, for benchmarks.
#pragma once

#include <cstdint>

namespace cardiograd {

// While it lives, linear, conv1d, lstm and attention operations of this thread, forward and
// backward, add their floating-point operations (a multiply-add counts as two) to the innermost
// meter.
class FlopMeter {
 public:
  FlopMeter();
  FlopMeter(const FlopMeter&) = delete;
  FlopMeter& operator=(const FlopMeter&) = delete;
  ~FlopMeter();

  double flops() const { return flops_; }
  // Called by the operations; does nothing without a meter.
  static void count_multiply_adds(std::int64_t outputs, std::int64_t inputs_per_output);

 private:
  double flops_ = 0.0;
  FlopMeter* outer_;
};

}  // namespace cardiograd
