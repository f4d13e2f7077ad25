// Every kernel of kernels/cuda is executed by the table of operation cases.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <regex>
#include <set>
#include <sstream>

#include "kernels/cuda/cuda_backend.h"
#include "tests/emulator/emulator.h"
#include "tests/kernels/operation_cases.h"

namespace cardiograd {
namespace {

// The names of the functions that a source's text declares with CG_KERNEL.
std::set<std::string> kernels_in(const std::string& text) {
  // Of "CG_KERNEL(256) void name(", whatever stands between the lines.
  static const std::regex declaration(R"(CG_KERNEL\s*\([^()]*\)\s*void\s+(\w+)\s*\()");
  std::set<std::string> names;
  for (std::sregex_iterator match(text.begin(), text.end(), declaration), end; match != end;
       ++match) {
    names.insert((*match)[1]);
  }
  return names;
}

// How often a source's text uses the word: kernels_in must have understood each.
std::ptrdiff_t mentions(const std::string& text) {
  static const std::regex word(R"(\n(inline )?CG_KERNEL\()");
  return std::distance(std::sregex_iterator(text.begin(), text.end(), word),
                       std::sregex_iterator());
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Runs every case of the table that CudaBackend has kernels for, results unseen.
void run_all_cases(DType dtype) {
  const std::shared_ptr<Backend> backend = make_cuda_kernel_backend(0, dtype);
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
  run_all_cases(DType::f32);
  const std::set<std::string>& launched = emulator::launched_kernels();
  std::size_t found = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(CARDIOGRAD_SOURCE_DIR "/kernels/cuda")) {
    // launch.h and what it includes define the word.
    if (entry.path().filename().string().rfind("launch", 0) == 0) continue;
    const std::string text = text_of(entry.path());
    const std::set<std::string> names = kernels_in(text);
    EXPECT_EQ(static_cast<std::ptrdiff_t>(names.size()), mentions(text)) << entry.path();
    for (const std::string& name : names) {
      EXPECT_TRUE(launched.count(name))
          << "no case of the table launches " << name << " of " << entry.path().filename();
    }
    found += names.size();
  }
  EXPECT_GE(found, 10U);
}

TEST(KernelCoverage, FindsKernelsHoweverTheyAreWritten) {
  EXPECT_EQ(kernels_in("template <class T>\nCG_KERNEL(block_threads)\nvoid one(T* y) {}\n"
                       "CG_KERNEL(tile* 8) void two() {}\nCG_DEVICE void three();\n"),
            (std::set<std::string>{"one", "two"}));
}

}  // namespace
}  // namespace cardiograd
