#include "trainer/run_folder.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "kernels/error.h"

namespace cardiograd {

RunFolder::RunFolder(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  if (std::filesystem::exists(path, error) && !std::filesystem::is_empty(path, error)) {
    throw InputError("run.dir " + path.string() +
                     " exists already: choose another folder, or move the old run away");
  }
  std::filesystem::create_directories(path, error);
  if (error) {
    throw InputError("run.dir " + path.string() + " cannot be made: " + error.message());
  }
  const std::filesystem::path file = path / "metrics.jsonl";
  metrics_.reset(std::fopen(file.c_str(), "a"));
  if (!metrics_) {
    throw InputError(file.string() + " cannot be written: " + std::strerror(errno));
  }
}

void RunFolder::log(const nlohmann::json& event) {
  const std::string line = event.dump() + "\n";
  if (std::fputs(line.c_str(), metrics_.get()) < 0 || std::fflush(metrics_.get()) != 0) {
    throw InputError((path_ / "metrics.jsonl").string() +
                     " cannot be written: " + std::strerror(errno));
  }
}

}  // namespace cardiograd
