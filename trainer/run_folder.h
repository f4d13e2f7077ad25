// The folder of a run: config.toml, metrics.jsonl, best/, last/, test.json, predictions, pictures.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cardiograd {

class RunFolder {
 public:
  // Makes the folder. Throws InputError where it exists already and is not empty, or cannot be
  // made.
  explicit RunFolder(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  // Appends one line to metrics.jsonl; it is in the file when this returns.
  void log(const nlohmann::json& event);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> metrics_;
};

}  // namespace cardiograd
