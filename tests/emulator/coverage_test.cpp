// Every kernel of kernels/cuda is executed by the table of operation cases.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
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

// Runs every case of the table that CudaBackend has kernels for, results unseen.
void run_all_cases() {
  const std::shared_ptr<Backend> backend = make_cuda_kernel_backend(0, DType::f32);
  for (const cases::Operation& operation : cases::operations()) {
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
  run_all_cases();
  const std::set<std::string>& launched = emulator::launched_kernels();
  std::set<std::string> all;
  for (const auto& entry :
       std::filesystem::directory_iterator(CARDIOGRAD_SOURCE_DIR "/kernels/cuda")) {
    // launch.h and what it includes define the word.
    if (entry.path().filename().string().rfind("launch", 0) == 0) continue;
    for (const std::string& name : kernels_in(text_of(entry.path()))) {
      EXPECT_TRUE(all.insert(name).second) << "two kernels are called " << name;
      EXPECT_TRUE(launched.count(name))
          << "no case of the table launches " << name << " of " << entry.path().filename();
    }
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
