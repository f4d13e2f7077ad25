// Signals that ask a run for something: SIGTERM and SIGINT to save and end, SIGUSR1 to save and go
// on. The handlers only take note; the loop looks between two batches.
#pragma once

#include <array>
#include <csignal>
#include <thread>

#include "kernels/error.h"

namespace cardiograd {

// A run that was asked to end, saved a checkpoint and did so (exit code exit_interrupted).
class Interrupted : public Error {
 public:
  using Error::Error;
};

// Takes note of the three signals while it lives. A second SIGINT ends the program at once. The
// handlers are the process's: one at a time, or one within another, which then also knows of what
// came before it (runs that follow each other lose no signal between them).
//
// Handlers run on a thread of the scope's own; the calling thread, OpenMP's threads and those that
// they start meanwhile take none of the three signals. oneDNN before 3.12 needs that: its products
// of float32 matrices let the stack pointer point into the heap, where the frame of a handler would
// overwrite what lies below (https://github.com/uxlfoundation/oneDNN/issues/4845).
class SignalScope {
 public:
  SignalScope();
  ~SignalScope();
  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;

  // SIGTERM or SIGINT, the one that came first; 0 while none did.
  int stop_signal() const;
  // Whether SIGUSR1 came since the last call.
  bool take_save_request();

 private:
  static constexpr std::array<int, 3> heeded{SIGTERM, SIGINT, SIGUSR1};
  bool outermost_;
  std::array<struct sigaction, heeded.size()> before_{};
  sigset_t mask_before_{};
  std::jthread listener_;
};

}  // namespace cardiograd
