// The tree keeps the rules of its house, and the check would see each of them broken.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using cardiograd::testing::TempFolder;

constexpr int most_lines = 600;

// Which folders the sources of a folder may include, besides their own.
const std::map<std::string, std::set<std::string>>& allowed_includes() {
  static const std::map<std::string, std::set<std::string>> allowed{
      {"kernels", {}},
      {"nn", {"kernels"}},
      {"data", {"kernels", "nn"}},
      {"models", {"kernels", "nn"}},
      {"trainer", {"kernels", "nn", "data", "models"}},
      {"tools", {"kernels", "nn", "data", "models", "trainer"}},
  };
  return allowed;
}

bool is_source(const std::filesystem::path& path) {
  static const std::set<std::string> extensions{".h", ".cpp", ".cu", ".cuh", ".inl"};
  return extensions.count(path.extension().string()) > 0;
}

std::string first_folder(const std::filesystem::path& path) { return path.begin()->string(); }

// The words of a preprocessor line after its '#': "#  include <x>" gives "include <x>".
std::string directive_of(const std::string& line) {
  const std::size_t hash = line.find_first_not_of(" \t");
  if (hash == std::string::npos || line[hash] != '#') return "";
  const std::size_t word = line.find_first_not_of(" \t", hash + 1);
  return word == std::string::npos ? "" : line.substr(word);
}

// What an include names; empty for every other line.
std::string included_by(const std::string& directive) {
  if (directive.rfind("include", 0) != 0) return "";
  const std::size_t open = directive.find_first_of("<\"");
  if (open == std::string::npos) return "";
  return directive.substr(open + 1, directive.find_first_of(">\"", open + 1) - open - 1);
}

bool contains_any(const std::string& text, const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return text.find(word) != std::string::npos; });
}

// A conditional on a device, a compiler macro of one, or a header of one.
bool names_device(const std::string& line) {
  const std::string directive = directive_of(line);
  const bool conditional = directive.rfind("if", 0) == 0 || directive.rfind("elif", 0) == 0;
  return (conditional && contains_any(directive, {"CUDA", "CUDNN", "NCCL", "GPU"})) ||
         contains_any(included_by(directive),
                      {"cuda_runtime", "cudnn", "cublas", "nccl", "nvtx"}) ||
         contains_any(line, {"__CUDACC__", "__CUDA_ARCH__"});
}

// What is wrong with one line of a file in `folder`, or nothing.
std::string breach_of(const std::string& line, const std::filesystem::path& file,
                      const std::string& folder) {
  const auto& allowed = allowed_includes();
  const std::string written = included_by(directive_of(line));
  if (!written.empty()) {
    // "../nn/x.h" names a folder as surely as "nn/x.h" does.
    std::filesystem::path target = written;
    if (written.rfind("..", 0) == 0) target = (file.parent_path() / written).lexically_normal();
    const std::string other = first_folder(target);
    const bool ours = allowed.count(other) > 0 || other == "tests";
    if (ours && other != folder && !allowed.at(folder).count(other)) {
      return folder + "/ does not stand on " + other + "/, yet includes " + target.string();
    }
  }
  const bool layer = file.filename().string().rfind("launch", 0) == 0;
  if (folder == "kernels" && !layer && contains_any(line, {"__CUDACC__", "__CUDA_ARCH__"})) {
    return "only kernels/cuda/launch.h tells nvcc from the host's compiler";
  }
  const bool above_the_seam = folder != "kernels";
  return above_the_seam && names_device(line)
             ? "only kernels/ knows devices: ask the Backend instead"
             : "";
}

// Each breach below `root`, as "folder/file.cpp:LINE: what is wrong", sorted.
std::vector<std::string> breaches(const std::filesystem::path& root) {
  std::vector<std::string> found;
  for (const auto& [folder, ignored] : allowed_includes()) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      const std::filesystem::path file = entry.path().lexically_relative(root);
      std::ifstream text(entry.path());
      int number = 0;
      for (std::string line; std::getline(text, line);) {
        ++number;
        const std::string breach = breach_of(line, file, folder);
        if (!breach.empty()) {
          found.push_back(file.string() + ":" + std::to_string(number) + ": " + breach);
        }
      }
      if (number > most_lines) {
        found.push_back(file.string() + ":" + std::to_string(number) + ": a file has at most " +
                        std::to_string(most_lines) + " lines");
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST(SourceRules, HoldInThisTree) {
  EXPECT_EQ(breaches(CARDIOGRAD_SOURCE_DIR), std::vector<std::string>{});
}

TEST(SourceRules, CoverEveryFolderOfTheHouse) {
  for (const auto& [folder, others] : allowed_includes()) {
    EXPECT_TRUE(
        std::filesystem::is_directory(std::filesystem::path(CARDIOGRAD_SOURCE_DIR) / folder))
        << folder;
    // No two folders stand on each other.
    for (const std::string& other : others) {
      EXPECT_FALSE(allowed_includes().at(other).count(folder)) << folder << " and " << other;
    }
  }
}

class PlantedBreach : public ::testing::Test {
 protected:
  // The breaches of a tree with this one file.
  std::vector<std::string> of(const std::string& name, const std::string& text) {
    tree_.write(name, text);
    return breaches(tree_.path());
  }
  using Lines = std::vector<std::string>;

 private:
  TempFolder tree_;
};

TEST_F(PlantedBreach, NoneInAnOrderlyFile) {
  EXPECT_EQ(of("trainer/loop.cpp",
               "#include <vector>\n#include \"data/batches.h\"\n#include \"trainer/loop.h\"\n"
               "#include \"libcsv.h\"\n#ifdef NDEBUG\n#endif\n"),
            Lines{});
}

TEST_F(PlantedBreach, UpwardInclude) {
  EXPECT_EQ(of("nn/tensor.h", "#pragma once\n#include \"data/packed.h\"\n"),
            Lines{"nn/tensor.h:2: nn/ does not stand on data/, yet includes data/packed.h"});
}

TEST_F(PlantedBreach, UpwardIncludeFromADeeperFolder) {
  EXPECT_EQ(of("kernels/cpu/conv.cpp", "#  include <nn/tensor.h>\n"),
            Lines{"kernels/cpu/conv.cpp:1: kernels/ does not stand on nn/, yet includes "
                  "nn/tensor.h"});
}

TEST_F(PlantedBreach, UpwardIncludeByARelativePath) {
  EXPECT_EQ(of("kernels/cuda/add.cu", "#include \"../../trainer/loop.h\"\n"),
            Lines{"kernels/cuda/add.cu:1: kernels/ does not stand on trainer/, yet includes "
                  "trainer/loop.h"});
}

TEST_F(PlantedBreach, SidewaysInclude) {
  EXPECT_EQ(of("models/cnn.cpp", "#include \"data/packed.h\"\n"),
            Lines{"models/cnn.cpp:1: models/ does not stand on data/, yet includes "
                  "data/packed.h"});
}

TEST_F(PlantedBreach, IncludeOfATest) {
  EXPECT_EQ(of("tools/main.cpp", "\n#include \"tests/support/temp_folder.h\"\n"),
            Lines{"tools/main.cpp:2: tools/ does not stand on tests/, yet includes "
                  "tests/support/temp_folder.h"});
}

TEST_F(PlantedBreach, DeviceConditionalAboveTheSeam) {
  const std::string wrong = ": only kernels/ knows devices: ask the Backend instead";
  EXPECT_EQ(of("nn/ops.cpp",
               "#ifdef CARDIOGRAD_CUDA\n#endif\n#if defined(__CUDACC__)\n#endif\n"
               "#include <cuda_runtime.h>\n"),
            (Lines{"nn/ops.cpp:1" + wrong, "nn/ops.cpp:3" + wrong, "nn/ops.cpp:5" + wrong}));
}

TEST_F(PlantedBreach, DeviceConditionalInKernelsIsFine) {
  EXPECT_EQ(of("kernels/cuda/launch.h", "#ifdef __CUDACC__\n#endif\n"), Lines{});
}

TEST_F(PlantedBreach, DeviceConditionalInAKernelSource) {
  EXPECT_EQ(of("kernels/cuda/loss.cu", "#if defined(__CUDACC__)\n#endif\n"),
            Lines{"kernels/cuda/loss.cu:1: only kernels/cuda/launch.h tells nvcc from the host's "
                  "compiler"});
}

TEST_F(PlantedBreach, OverlongFile) {
  std::string text;
  for (int line = 0; line < most_lines; ++line) text += "int x;\n";
  EXPECT_EQ(of("data/long.cpp", text), Lines{});
  EXPECT_EQ(of("data/long.cpp", text + "int y;\n"),
            Lines{"data/long.cpp:601: a file has at most 600 lines"});
}

}  // namespace
}  // namespace cardiograd
