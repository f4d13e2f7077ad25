// The plan cache's file: choices of earlier runs, for one machine and one set of versions.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "kernels/cuda/plan_cache.h"

namespace cardiograd::cuda {

// What timings hold for. Part of the file; where anything differs, the file is not used.
struct PlanMachine {
  std::string gpu;         // "NVIDIA H200"
  std::string capability;  // "9.0"
  std::string driver;      // "13.0": the newest CUDA that it knows
  std::string cuda;        // of the runtime
  std::string cublaslt;    // "absent" where it was not found, like cudnn
  std::string cudnn;
  std::string cardiograd;

  bool operator==(const PlanMachine&) const = default;
};

// `chosen`; nothing where it is "off". Where it is empty:
// $XDG_CACHE_HOME/cardiograd/plans-<gpu>-<hash of the machine>.json, ~/.cache where that is not set
// either.
std::optional<std::filesystem::path> plan_file_path(const PlanMachine& machine,
                                                    const std::string& chosen);

// The choices in a file, which is read as hostile input; none where there is no file. Throws
// InputError where it is no plan file or another machine's.
PlanRecords read_plans(const std::filesystem::path& path, const PlanMachine& machine);

// Replaces the file in one step; makes its folder. Throws InputError where that fails.
void write_plans(const std::filesystem::path& path, const PlanMachine& machine,
                 const PlanRecords& records);

// Lets `cache` begin with a file's choices and keeps its new ones there, beside those that other
// processes wrote meanwhile. A file that cannot be used is said once, and left as it is.
void keep_in_file(PlanCache& cache, const std::filesystem::path& path, const PlanMachine& machine,
                  const PlanCache::Say& say);

}  // namespace cardiograd::cuda
