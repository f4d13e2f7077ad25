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

}  // namespace cardiograd::testing
