// How a benchmark case is timed, and what its time is measured against.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device_timer.h"
#include "tools/bench_kernel_case.h"

namespace cardiograd {

// The operands of a case in the device's memory, several times over: calls that take them in turn
// find none of them in a cache.
class BenchOperands {
 public:
  BenchOperands(Backend& backend, const BenchCase& bench_case, int copies);
  ~BenchOperands();
  BenchOperands(const BenchOperands&) = delete;
  BenchOperands& operator=(const BenchOperands&) = delete;

  int copies() const { return static_cast<int>(copies_.size()); }
  const BenchViews& operator[](int copy) const { return copies_[static_cast<std::size_t>(copy)]; }

 private:
  View allocate(const BenchOperand& operand);

  Backend& backend_;
  std::vector<View> blocks_;
  std::vector<BenchViews> copies_;
};

struct KernelTime {
  double microseconds = 0.0;  // of one call: the median of the rounds
  int rounds = 0;
  int calls = 0;   // a round
  int copies = 0;  // of the operands
};

class KernelTimer {
 public:
  // rounds: at most so many a case; fewer of one that takes long, but at least 5.
  KernelTimer(const TimedDevice& device, int rounds);
  ~KernelTimer();
  KernelTimer(const KernelTimer&) = delete;
  KernelTimer& operator=(const KernelTimer&) = delete;

  // Median of the rounds. A round is a batch of calls between two marks in the device's queue,
  // behind a copy that empties the L2 and lasts until the host has queued the whole batch: neither
  // the host's cost of a launch nor an operand that was still in the cache is in the time.
  KernelTime time(const BenchCase& bench_case);

 private:
  class Batch;
  void queue_copies(int count);

  const TimedDevice& device_;
  int rounds_;
  BenchCase copy_;
  BenchOperands buffers_;
  double copy_microseconds_ = 0.0;
};

// What the device was found to do at best, and the shortest call of an operation.
struct KernelCeilings {
  double copy = 0.0;                 // bytes read and written a second
  double product_f32 = 0.0;          // FLOP/s
  double product_bf16 = 0.0;         // FLOP/s
  double launch_microseconds = 0.0;  // of one kernel with nothing to do

  // With our own kernels; docs/kernels.md has what an H200 gives to those who tune for it.
  static KernelCeilings measure(KernelTimer& timer, const BenchSizes& sizes);
};

// The least time that a call could take, and why.
struct KernelBound {
  std::string name;  // "memory", "arithmetic" or "launch"
  double microseconds = 0.0;
};
KernelBound bound_of(const BenchCase& bench_case, const KernelCeilings& ceilings);

}  // namespace cardiograd
