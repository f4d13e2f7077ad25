#include "nn/atomic_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "kernels/error.h"

namespace cardiograd {

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  std::string name = path_.string() + ".XXXXXX";
  descriptor_ = mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail("created");
  temporary_ = name;
  // mkostemp makes files that their owner alone may read; give the usual permissions.
  const mode_t mask = umask(0);
  umask(mask);
  if (fchmod(descriptor_, 0666 & ~mask) != 0) {
    const int reason = errno;
    close(descriptor_);
    unlink(temporary_.c_str());
    errno = reason;
    fail("created");
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, at, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("written");
    at += written;
    bytes -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) fail("synced");
  const int descriptor = std::exchange(descriptor_, -1);
  if (close(descriptor) != 0) fail("closed");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail("renamed into place");
  temporary_.clear();
  // The new name itself must survive a power cut; some file systems refuse to sync a folder, and
  // the file is whole there all the same.
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int folder_descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor >= 0) {
    fsync(folder_descriptor);
    close(folder_descriptor);
  }
}

void AtomicFile::fail(std::string_view action) const {
  throw InputError(path_.string() + ": the file could not be " + std::string(action) + " (" +
                   std::strerror(errno) + ")");
}

}  // namespace cardiograd
