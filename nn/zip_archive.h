// Reading a zip archive in memory, as hostile input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

struct zip;

namespace cardiograd {

// Entries stored or deflated. The whole archive may not unpack to more than `most_unpacked` bytes,
// by its directory; an entry that is longer or shorter than the directory says, or whose checksum
// is another one, is refused when it is read.
class ZipArchive {
 public:
  // `bytes` must outlive this object; `name` begins the sentences. Throws InputError for what is no
  // archive, is cut off, names an entry twice, is encrypted, or unpacks to too much.
  ZipArchive(std::span<const std::byte> bytes, std::string name, std::uint64_t most_unpacked);

  const std::vector<std::string>& names() const { return names_; }
  bool contains(const std::string& entry) const { return entries_.contains(entry); }
  // Unpacked bytes, by the directory.
  std::size_t size(const std::string& entry) const;
  // Fills `out`, which must have the entry's size.
  void read(const std::string& entry, std::span<std::byte> out) const;
  std::string read(const std::string& entry) const;

 private:
  struct Entry {
    std::uint64_t index = 0;
    std::size_t size = 0;
  };
  struct Close {
    void operator()(zip* archive) const;
  };

  [[noreturn]] void refuse_double() const;
  void add(std::uint64_t index, std::uint64_t most_unpacked);
  const Entry& find(const std::string& entry) const;

  std::string name_;
  std::unique_ptr<zip, Close> archive_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, Entry> entries_;
  std::uint64_t unpacked_ = 0;
};

}  // namespace cardiograd
