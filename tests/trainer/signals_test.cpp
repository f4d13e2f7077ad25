#include "trainer/signals.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "kernels/cpu/onednn.h"
#include "tests/support/send_signal.h"

namespace cardiograd {
namespace {

using testing::send_signal;

bool this_thread_blocks(int signal) {
  sigset_t set;
  pthread_sigmask(SIG_BLOCK, nullptr, &set);
  return sigismember(&set, signal) == 1;
}

TEST(Signals, AreTakenNoteOf) {
  SignalScope signals;
  EXPECT_EQ(signals.stop_signal(), 0);
  EXPECT_FALSE(signals.take_save_request());
  bool saved = false;
  send_signal(SIGUSR1, [&] { return saved = saved || signals.take_save_request(); });
  EXPECT_FALSE(signals.take_save_request());
  send_signal(SIGTERM, [&] { return signals.stop_signal() != 0; });
  kill(getpid(), SIGINT);
  EXPECT_EQ(signals.stop_signal(), SIGTERM);
}

// A frame on the stack of a thread that computes may overwrite the heap: see signals.h.
TEST(Signals, AreHandledOnNoThreadThatComputes) {
  const std::vector<int> heeded{SIGTERM, SIGINT, SIGUSR1};
  const auto threads_that_block = [](int signal) {
    int count = 0;
#pragma omp parallel num_threads(3) reduction(+ : count)
    count += this_thread_blocks(signal) ? 1 : 0;
    return count;
  };
  {
    const SignalScope signals;
    for (const int signal : heeded) {
      EXPECT_EQ(threads_that_block(signal), 3) << signal;
      bool started_meanwhile = false;
      std::thread([&] { started_meanwhile = this_thread_blocks(signal); }).join();
      EXPECT_TRUE(started_meanwhile) << signal;
    }
  }
  for (const int signal : heeded) EXPECT_EQ(threads_that_block(signal), 0) << signal;
}

// With handlers on the computing threads, glibc finds its heap destroyed within a few products.
TEST(Signals, LeaveProductsAndTheHeapAsTheyAre) {
  constexpr std::int64_t rows = 16, columns = 128, depth = 16384;
  const SignalScope signals;
  const std::vector<float> a(rows * depth, 0.5F), b(depth * columns, 2.0F);
  std::jthread sender([](const std::stop_token& end) {
    while (!end.stop_requested()) {
      kill(getpid(), SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
  for (int product = 0; product < 200; ++product) {
    std::vector<float> c(rows * columns);
    matrix_multiply(Order::plain, Order::plain, rows, columns, depth, a.data(), b.data(), 0.0F,
                    c.data());
    ASSERT_EQ(c, std::vector<float>(rows * columns, static_cast<float>(depth)));
  }
}

TEST(SignalsDeathTest, ASecondInterruptEndsAtOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const SignalScope signals;
        send_signal(SIGINT, [&] { return signals.stop_signal() != 0; });
        send_signal(SIGINT, [] { return false; });
        std::exit(0);
      },
      ::testing::KilledBySignal(SIGINT), "");
}

}  // namespace
}  // namespace cardiograd
