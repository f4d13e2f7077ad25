// What the kernel tests run on: the emulator or a GPU. One program is linked with each.
#pragma once

#include <string>
#include <vector>

namespace cardiograd::testing {

// The orders in which threads can be made to take their turns; a GPU has one of its own.
std::vector<std::string> thread_orders();
void set_thread_order(const std::string& name);
// Whether it is the emulator, where sizes must be small.
bool is_emulated();

// For a test that got no device: a machine may lack a GPU, but the emulator never does.
#define CARDIOGRAD_WITHOUT_DEVICE(reason)                         \
  do {                                                            \
    if (::cardiograd::testing::is_emulated()) FAIL() << (reason); \
    GTEST_SKIP() << (reason);                                     \
  } while (false)

// Beginnings of the names of the plans that its libraries may offer for "linear", "conv1d" or
// "lstm", or "measure".
std::vector<std::string> plan_candidates(const std::string& operation);

}  // namespace cardiograd::testing
