#include "tests/support/stored_zip.h"

#include <cstdint>
#include <cstring>

#include "kernels/error.h"
#include "tests/support/temp_folder.h"

namespace cardiograd::testing {

namespace {

// A little-endian number at `at` of the archive.
template <class T>
T number(const std::string& bytes, std::size_t at) {
  if (bytes.size() < sizeof(T) || at > bytes.size() - sizeof(T)) {
    throw InputError("the zip archive ends inside a record");
  }
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// Records are named by their signatures, offsets are those of the format (APPNOTE.TXT, section 4).
constexpr std::uint32_t end_of_directory = 0x06054b50;
constexpr std::uint32_t directory_entry = 0x02014b50;
constexpr std::uint32_t local_header = 0x04034b50;

void expect_signature(const std::string& bytes, std::size_t at, std::uint32_t signature) {
  if (number<std::uint32_t>(bytes, at) != signature) {
    throw InputError("the zip archive has no record where one is announced");
  }
}

}  // namespace

std::map<std::string, std::string> read_stored_zip(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  const std::size_t end = bytes.rfind(std::string("PK\5\6"));
  if (end == std::string::npos) throw InputError(path.string() + " is no zip archive");
  expect_signature(bytes, end, end_of_directory);
  const auto count = number<std::uint16_t>(bytes, end + 10);
  std::size_t at = number<std::uint32_t>(bytes, end + 16);
  std::map<std::string, std::string> entries;
  for (int i = 0; i < count; ++i) {
    expect_signature(bytes, at, directory_entry);
    const auto size = number<std::uint32_t>(bytes, at + 24);
    const auto name_size = number<std::uint16_t>(bytes, at + 28);
    const std::size_t local = number<std::uint32_t>(bytes, at + 42);
    expect_signature(bytes, local, local_header);
    const std::size_t data = local + 30 + number<std::uint16_t>(bytes, local + 26) +
                             number<std::uint16_t>(bytes, local + 28);
    const bool stored = number<std::uint16_t>(bytes, at + 10) == 0;
    if (!stored || data > bytes.size() || size > bytes.size() - data) {
      throw InputError(path.string() + " has an entry that is compressed or cut off");
    }
    entries[bytes.substr(at + 46, name_size)] = bytes.substr(data, size);
    at += 46 + name_size + number<std::uint16_t>(bytes, at + 30) +
          number<std::uint16_t>(bytes, at + 32);
  }
  return entries;
}

}  // namespace cardiograd::testing
