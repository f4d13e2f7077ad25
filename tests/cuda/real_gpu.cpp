#include "tests/cuda/machine.h"

namespace cardiograd::testing {

std::vector<std::string> thread_orders() { return {"gpu"}; }

void set_thread_order(const std::string&) {}

std::vector<std::string> plan_candidates() {
  std::vector<std::string> names{"measure"};
  for (const char* family : {"cublaslt:", "cublaslt-bgrad:", "cudnn:", "cudnn-bias:"}) {
    for (int i = 0; i < 8; ++i) names.push_back(family + std::to_string(i));
  }
  return names;
}

}  // namespace cardiograd::testing
