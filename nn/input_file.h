// Files that are read: whole, in parts, or mapped into memory. Every error is an InputError whose
// sentence names the file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace cardiograd {

// A regular file opened for reading. A folder, a pipe or a device is refused: a hostile folder
// could otherwise make the program wait for ever.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::size_t size() const { return size_; }
  int descriptor() const { return descriptor_; }
  // Fills `out` with the bytes from `offset` on; throws where the file ends before.
  void read(std::size_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

// The whole file as text; throws where it is larger than `most` bytes.
std::string read_text(const std::filesystem::path& path, std::size_t most);

// A file mapped read-only. The mapping lives as long as the object; the file must not be shortened
// meanwhile (writers of this project replace files by renaming, which is safe; nn/lost_pages.h says
// what happens otherwise).
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return bytes_; }
  // Lets the system drop the whole pages inside [data, data + bytes) from resident memory; they are
  // read again from the file when touched. Memory outside the mapping is left alone.
  void release(const void* data, std::size_t bytes) const;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace cardiograd
