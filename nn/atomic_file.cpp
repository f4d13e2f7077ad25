#include "nn/atomic_file.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <utility>

#include "kernels/error.h"

namespace cardiograd {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{1} << 18;

std::filesystem::path temporary_name(const std::filesystem::path& target) {
  static std::atomic<unsigned> counter{0};
  return target.string() + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(++counter);
}

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path target, Durability durability)
    : target_(std::move(target)), temporary_(temporary_name(target_)), durability_(durability) {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail();
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::fail() const {
  const int code = errno;
  std::string sentence = "cannot write " + target_.string() + ": " + std::strerror(code);
  if (code == ENOSPC || code == EDQUOT) {
    sentence += "; free some space, or choose another disk, and run again";
  } else if (code == ENOENT) {
    sentence += "; make the folder first";
  }
  throw InputError(sentence);
}

void AtomicFile::write_through(const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t done = ::write(descriptor_, data, bytes);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail();
    data += done;
    bytes -= static_cast<std::size_t>(done);
  }
}

void AtomicFile::flush() {
  write_through(buffer_.data(), buffer_.size());
  buffer_.clear();
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  const char* source = static_cast<const char*>(data);
  if (buffer_.size() + bytes <= buffer_bytes) {
    buffer_.insert(buffer_.end(), source, source + bytes);
  } else {
    flush();
    write_through(source, bytes);
  }
}

void AtomicFile::overwrite(std::size_t offset, std::string_view text) {
  flush();
  while (!text.empty()) {
    const ssize_t done =
        ::pwrite(descriptor_, text.data(), text.size(), static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail();
    text.remove_prefix(static_cast<std::size_t>(done));
    offset += static_cast<std::size_t>(done);
  }
}

void AtomicFile::commit() {
  flush();
  const bool synced = durability_ == Durability::synced;
  if (synced && ::fsync(descriptor_) != 0) fail();
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail();
  ::close(std::exchange(descriptor_, -1));
  if (!synced) return;
  // The new name is safe once the folder is on the disk. Some file systems cannot sync a folder;
  // the file itself is complete then, so that is no error.
  const std::filesystem::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
  const int folder_descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor < 0) return;
  ::fsync(folder_descriptor);
  ::close(folder_descriptor);
}

void write_file(const std::filesystem::path& target, std::string_view contents,
                Durability durability) {
  AtomicFile file(target, durability);
  file.write(contents);
  file.commit();
}

}  // namespace cardiograd
