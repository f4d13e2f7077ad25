// Every kernel of kernels/cuda is executed by the table of operation cases.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <sstream>

#include "kernels/cuda/cuda_backend.h"
#include "tests/emulator/emulator.h"
#include "tests/kernels/operation_cases.h"

namespace cardiograd {
namespace {

// The names of the functions that a source's text declares with CG_KERNEL: what stands before the
// parenthesis that follows "void".
std::multiset<std::string> kernels_in(const std::string& text) {
  const std::string word = "CG_KERNEL(";
  std::multiset<std::string> names;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    const std::size_t result = text.find("void", at);
    const std::size_t open = text.find('(', result);
    if (open == std::string::npos) continue;
    std::istringstream between(text.substr(result + 4, open - result - 4));
    std::string name;
    between >> name;
    names.insert(name);
  }
  return names;
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The kernels of kernels/cuda, and the file of each.
std::map<std::string, std::string> all_kernels() {
  std::map<std::string, std::string> all;
  for (const auto& entry :
       std::filesystem::directory_iterator(CARDIOGRAD_SOURCE_DIR "/kernels/cuda")) {
    const std::string file = entry.path().filename().string();
    // launch.h and what it includes define the word.
    if (file.rfind("launch", 0) == 0) continue;
    for (const std::string& name : kernels_in(text_of(entry.path()))) {
      EXPECT_TRUE(all.emplace(name, file).second) << "two kernels are called " << name;
    }
  }
  return all;
}

bool all_launched(const std::map<std::string, std::string>& all) {
  return std::all_of(all.begin(), all.end(), [](const auto& kernel) {
    return emulator::launched_kernels().count(kernel.first) > 0;
  });
}

// Runs the cases of the table that the backend has kernels for and whose names begin so, results
// unseen, until every kernel has been launched.
void run_cases(const std::shared_ptr<Backend>& backend,
               const std::map<std::string, std::string>& all, const std::string& beginning = "") {
  for (const cases::Operation& operation : cases::operations()) {
    if (all_launched(all)) return;
    if (!operation.name.starts_with(beginning)) continue;
    for (const cases::OperationCase& each : operation.cases()) {
      const cases::BoundOperands operands(*backend, each.operands);
      operands.reset(cases::make_inputs(each));
      try {
        operands.call(each.call);
      } catch (const DeviceError&) {  // no kernel yet
        break;
      }
    }
  }
}

TEST(KernelCoverage, EveryKernelRuns) {
  const std::map<std::string, std::string> all = all_kernels();
  run_cases(make_cuda_kernel_backend(0, DType::f32), all);
  run_cases(make_cuda_kernel_backend(0, DType::bf16), all);  // tensor cores have no other
  // Around a library's LSTM.
  cuda::PlanOptions options;
  options.rules.only = "cudnn:";
  run_cases(make_cuda_backend(0, DType::f32, options), all, "lstm");
  for (const auto& [name, file] : all) {
    EXPECT_TRUE(emulator::launched_kernels().count(name))
        << "no case of the table launches " << name << " of " << file;
  }
  EXPECT_GE(all.size(), 10U);
}

TEST(KernelCoverage, FindsKernelsHoweverTheyAreWritten) {
  EXPECT_EQ(kernels_in("template <class T>\nCG_KERNEL(block_threads)\nvoid one(T* y) {}\n"
                       "CG_KERNEL(tile* 8) void two() {}\nCG_DEVICE void three();\n"),
            (std::multiset<std::string>{"one", "two"}));
}

}  // namespace
}  // namespace cardiograd
