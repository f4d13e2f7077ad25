#include "tests/cuda/machine.h"

#include "tests/emulator/emulator.h"

namespace cardiograd::testing {

std::vector<std::string> thread_orders() { return {"ascending", "descending", "shuffled"}; }

void set_thread_order(const std::string& name) {
  using emulator::Order;
  emulator::set_order(name == "ascending"    ? Order::ascending
                      : name == "descending" ? Order::descending
                                             : Order::shuffled);
}

bool is_emulated() { return true; }

// The stand-ins' plans (libraries.cpp, cudnn_rnn.cpp): the first that is offered, the one without
// the bias, and of convolutions the one with channels first. To measure them would take long and
// tell nothing.
std::vector<std::string> plan_candidates(const std::string& operation) {
  if (operation == "lstm") return {"cudnn:"};
  if (operation == "conv1d") return {"c", "cudnn:", "cudnn-ncl"};
  return {"c", "cublaslt:"};
}

}  // namespace cardiograd::testing

// A fault leaves its fibre where it stands, with all that its stack owns: in this program leaks
// mean nothing. AddressSanitizer asks for its options by this name.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
