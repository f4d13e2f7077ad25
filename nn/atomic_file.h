// Files that are written: under a temporary name beside the target, synced, then renamed, so that
// the final name never holds anything partial.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <vector>

namespace cardiograd {

// Whether commit() waits until the bytes are on the disk. `rename_only` is for many small files
// that can be made again: a crash of the machine (not of the program) may then lose their contents.
enum class Durability { synced, rename_only };

// One file being written. Every error (a missing folder, a full disk) is an InputError whose
// sentence names the target; the temporary file is removed unless commit() succeeded.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target, Durability durability = Durability::synced);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::filesystem::path& target() const { return target_; }
  // Appends at the end.
  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // Replaces bytes written before, `offset` bytes from the beginning.
  void overwrite(std::size_t offset, std::string_view text);
  // Gives the file its final name. Nothing may be written afterwards.
  void commit();

 private:
  [[noreturn]] void fail() const;
  void flush();
  void write_through(const char* data, std::size_t bytes);

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  Durability durability_;
  int descriptor_ = -1;
  std::vector<char> buffer_;
};

void write_file(const std::filesystem::path& target, std::string_view contents,
                Durability durability = Durability::synced);

}  // namespace cardiograd
