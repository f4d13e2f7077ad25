#include "trainer/run_folder.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <unistd.h>

#include "kernels/error.h"
#include "nn/input_file.h"
#include "trainer/run_checkpoints.h"

namespace cardiograd {

namespace {

namespace fs = std::filesystem;

bool holds_something(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error) && !fs::is_empty(path, error);
}

// A run begins with these two; one that was killed at once has left the second at most.
bool holds_a_run(const fs::path& path) {
  return fs::exists(path / "config.toml") || fs::exists(path / "metrics.jsonl");
}

}  // namespace

RunFolder::RunFolder(const fs::path& path, Start start, bool writes) : path_(path) {
  if (!writes) return;
  std::error_code error;
  if (start == Start::anew && holds_something(path)) {
    throw InputError("run.dir " + path.string() +
                     " exists already: choose another folder, or move the old run away" +
                     (holds_a_run(path) ? ", or go on with it by --resume" : ""));
  }
  if (holds_something(path) && !holds_a_run(path)) {
    throw InputError("run.dir " + path.string() +
                     " holds something, but no run to resume: choose another folder");
  }
  fs::create_directories(path, error);
  if (error) {
    throw InputError("run.dir " + path.string() + " cannot be made: " + error.message());
  }
  // Not inherited by the programs that a run starts, which would keep the lock.
  metrics_.reset(std::fopen(log_path().c_str(), "ae"));
  if (!metrics_) fail_log();
  lock();
  if (start == Start::anew) return;
  try {
    clean_checkpoints(path);
  } catch (const fs::filesystem_error& failure) {
    throw InputError("run.dir " + path.string() + " cannot be tidied: " + failure.code().message());
  }
}

void RunFolder::fail_log() const {
  throw InputError(log_path().string() + " cannot be written: " + std::strerror(errno));
}

// Some network file systems have no locks; there the user must take care.
void RunFolder::lock() const {
  if (flock(fileno(metrics_.get()), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    throw InputError("run.dir " + path_.string() +
                     " is being written by another process: wait for its end, or stop it");
  }
}

void RunFolder::log(const nlohmann::json& event) {
  if (!writes()) return;
  const std::string line = event.dump() + "\n";
  if (std::fputs(line.c_str(), metrics_.get()) < 0 || std::fflush(metrics_.get()) != 0) fail_log();
}

std::int64_t RunFolder::log_bytes() const {
  return writes() ? static_cast<std::int64_t>(fs::file_size(log_path())) : 0;
}

void RunFolder::sync_log() const {
  if (writes() && fsync(fileno(metrics_.get())) != 0) fail_log();
}

void RunFolder::cut_log(std::int64_t bytes) {
  if (!writes()) return;
  const InputFile file(log_path());
  const auto wanted = static_cast<std::size_t>(bytes);
  std::byte end{'\n'};
  if (wanted > 0 && wanted <= file.size()) file.read(wanted - 1, {&end, 1});
  if (wanted > file.size() || end != std::byte{'\n'}) {
    throw InputError(log_path().string() +
                     " is not the one that the checkpoint belongs to: it must have at least " +
                     std::to_string(bytes) + " bytes, the end of a line there");
  }
  if (ftruncate(fileno(metrics_.get()), static_cast<off_t>(bytes)) != 0) fail_log();
}

}  // namespace cardiograd
