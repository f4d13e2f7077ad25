// Waiting for others without burning a core for long, and not for ever.
#pragma once

#include <chrono>
#include <sched.h>
#include <thread>

namespace cardiograd {

// The last tenth of a time-out, at most two seconds, is kept for asking who is missing.
inline double grace_of(double timeout_seconds) {
  return timeout_seconds < 20.0 ? timeout_seconds / 10.0 : 2.0;
}

class Deadline {
 public:
  explicit Deadline(double seconds) : begun_(Clock::now()), seconds_(seconds) {}

  double passed() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }
  bool over() const { return passed() >= seconds_; }

  // One turn of a loop that polls: short waits spin, longer ones let other threads of the machine
  // work, and long ones sleep.
  void pause() {
    if (++turns_ < 64) return;
    const double waited = passed();
    if (waited < 2e-3) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(waited < 0.1 ? 20 : 200));
    }
  }
  // True about every hundredth of a second.
  bool is_time_to_listen() {
    const double now = passed();
    if (now < next_listening_) return false;
    next_listening_ = now + 0.01;
    return true;
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begun_;
  double seconds_;
  double next_listening_ = 0.01;
  int turns_ = 0;
};

}  // namespace cardiograd
