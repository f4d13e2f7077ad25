// The time of single operations, many of them before anyone waits for one.
#pragma once

#include <memory>
#include <vector>

namespace cardiograd {

class OperationClock {
 public:
  OperationClock() = default;
  OperationClock(const OperationClock&) = delete;
  OperationClock& operator=(const OperationClock&) = delete;
  virtual ~OperationClock() = default;

  // Around one operation, of one thread. A begin without an end is forgotten at the next begin.
  virtual void begin() = 0;
  virtual void end() = 0;
  // Microseconds of each that has ended since the last call, in order; waits until the device has
  // done them.
  virtual std::vector<double> read() = 0;
};

// For operations that are done when the call returns.
std::unique_ptr<OperationClock> make_host_clock();

}  // namespace cardiograd
