// A signal to this process, as `kill` sends it.
#pragma once

#include <chrono>
#include <csignal>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>

namespace cardiograd::testing {

// Goes on when `taken` is true: some thread has handled the signal.
template <typename Condition>
void send_signal(int signal, Condition taken) {
  kill(getpid(), signal);
  bool is_taken = taken();
  for (int tries = 0; tries < 10000 && !is_taken; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    is_taken = taken();
  }
  EXPECT_TRUE(is_taken) << "signal " << signal << " was not handled within ten seconds";
}

}  // namespace cardiograd::testing
