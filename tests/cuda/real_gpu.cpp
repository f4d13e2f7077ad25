#include "tests/cuda/machine.h"

namespace cardiograd::testing {

std::vector<std::string> thread_orders() { return {"gpu"}; }

void set_thread_order(const std::string&) {}

bool is_emulated() { return false; }

}  // namespace cardiograd::testing
