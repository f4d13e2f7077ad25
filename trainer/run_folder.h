// The folder of a run: config.toml, metrics.jsonl, best/, last/, test.json, predictions, pictures.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cardiograd {

// Whether a run makes its folder or goes on in one.
enum class Start { anew, resume };

class RunFolder {
 public:
  // Makes the folder. Throws InputError where it exists already and is not empty, or cannot be
  // made. To resume, the folder may hold a run, and is cleaned of what that left half written;
  // refused are a folder of other things, and one that another process is writing to. writes:
  // whether this process is the one of the run that writes; for the others nothing happens here.
  explicit RunFolder(const std::filesystem::path& path, Start start = Start::anew,
                     bool writes = true);

  bool writes() const { return metrics_ != nullptr; }

  const std::filesystem::path& path() const { return path_; }
  // Appends one line to metrics.jsonl; it is in the file when this returns.
  void log(const nlohmann::json& event);
  // Bytes in metrics.jsonl; they are on the disk when sync_log() returns, which any thread may
  // call.
  std::int64_t log_bytes() const;
  void sync_log() const;
  // Takes everything behind the first `bytes` away, in one step. Throws InputError where the file
  // has fewer, or where they end within a line.
  void cut_log(std::int64_t bytes);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path log_path() const { return path_ / "metrics.jsonl"; }
  [[noreturn]] void fail_log() const;
  void lock() const;

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> metrics_;
};

}  // namespace cardiograd
