// An operation's time on a GPU: two events in its queue, which nobody waits for until they are
// read.
#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/staged_upload.h"
#include "kernels/operation_clock.h"

namespace cardiograd::cuda {

class EventClock final : public OperationClock {
 public:
  // `owner` keeps the queue.
  EventClock(Queue queue, std::shared_ptr<const void> owner)
      : queue_(queue), owner_(std::move(owner)) {}

  // Events are made once: after the first steps a begin is one call of the driver.
  void begin() override {
    if (ended_ == pairs_.size()) pairs_.emplace_back();
    record_event(pairs_[ended_].begin.get(), queue_);
  }
  void end() override { record_event(pairs_[ended_++].end.get(), queue_); }
  std::vector<double> read() override {
    std::vector<double> times;
    for (std::size_t i = 0; i < ended_; ++i) {
      const float milliseconds = elapsed_milliseconds(pairs_[i].begin.get(), pairs_[i].end.get());
      times.push_back(1e3 * static_cast<double>(milliseconds));
    }
    ended_ = 0;
    return times;
  }

 private:
  struct Pair {
    OwnedEvent begin, end;
  };
  Queue queue_;
  std::shared_ptr<const void> owner_;
  std::deque<Pair> pairs_;
  std::size_t ended_ = 0;
};

}  // namespace cardiograd::cuda
