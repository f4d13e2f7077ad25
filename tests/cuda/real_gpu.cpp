#include "tests/cuda/machine.h"

namespace cardiograd::testing {

std::vector<std::string> thread_orders() { return {"gpu"}; }

void set_thread_order(const std::string&) {}

bool is_emulated() { return false; }

std::vector<std::string> plan_candidates(const std::string& operation) {
  if (operation == "lstm") {
    return {"measure", "cudnn:standard", "cudnn:persist-static", "cudnn:persist-small-h"};
  }
  const std::vector<std::string> families =
      operation == "conv1d" ? std::vector<std::string>{"cublaslt:", "cudnn:", "cudnn-bias:",
                                                       "cudnn-ncl:", "cudnn-ncl-bias:"}
                            : std::vector<std::string>{"cublaslt:", "cublaslt-bgrad:"};
  std::vector<std::string> names{"measure"};
  for (const std::string& family : families) {
    for (int i = 0; i < 4; ++i) names.push_back(family + std::to_string(i));
  }
  return names;
}

}  // namespace cardiograd::testing
