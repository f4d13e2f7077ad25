#include "trainer/event_file.h"

#include <bit>
#include <cstdint>
#include <gtest/gtest.h>
#include <map>
#include <vector>

#include "tests/support/file_size_limit.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::FileSizeLimit;
using testing::read_file;
using testing::TempFolder;

std::uint64_t number_at(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(bytes.at(at + i))} << (8 * i);
  }
  return value;
}

std::uint32_t unmask(std::uint64_t masked) {
  return std::rotl(static_cast<std::uint32_t>(masked) - 0xA282EAD8U, 15);
}

// The payloads of a file's records, their checksums checked.
std::vector<std::string> records_of(std::string_view bytes) {
  std::vector<std::string> records;
  while (!bytes.empty()) {
    const std::size_t length = number_at(bytes, 0, 8);
    EXPECT_EQ(unmask(number_at(bytes, 8, 4)), crc32c(bytes.substr(0, 8)));
    records.emplace_back(bytes.substr(12, length));
    EXPECT_EQ(unmask(number_at(bytes, 12 + length, 4)), crc32c(records.back()));
    bytes.remove_prefix(16 + length);
  }
  return records;
}

// The fields of a message by number: a number as its bytes, a string as itself.
std::map<std::uint64_t, std::string> fields_of(std::string_view bytes) {
  std::map<std::uint64_t, std::string> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= std::uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.size()) {
    const std::uint64_t key = varint();
    switch (key & 7) {
      case 0:
        fields[key >> 3] = std::to_string(varint());
        break;
      case 1:
        fields[key >> 3] = bytes.substr(at, 8);
        at += 8;
        break;
      case 5:
        fields[key >> 3] = bytes.substr(at, 4);
        at += 4;
        break;
      default: {
        const std::size_t size = varint();
        fields[key >> 3] = bytes.substr(at, size);
        at += size;
      }
    }
  }
  return fields;
}

TEST(EventFile, ChecksumIsTheStandards) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU) << "RFC 3720, B.4";
}

TEST(EventFile, HoldsScalarsAndTexts) {
  const TempFolder folder;
  EventFile file(folder / "events");
  file.scalar("loss/train", 300, 0.25);
  file.text("config", 1, "# run\xFF");
  file.flush();
  EXPECT_EQ(file.path().filename().string().find("events.out.tfevents."), 0U);
  const std::vector<std::string> records = records_of(read_file(file.path()));
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(fields_of(records[0]).at(3), "brain.Event:2");

  const auto scalar = fields_of(records[1]);
  EXPECT_EQ(scalar.at(2), "300");
  const auto value = fields_of(fields_of(scalar.at(5)).at(1));
  EXPECT_EQ(value.at(1), "loss/train");
  EXPECT_EQ(number_at(value.at(2), 0, 4), std::bit_cast<std::uint32_t>(0.25F));

  const auto text = fields_of(fields_of(fields_of(records[2]).at(5)).at(1));
  EXPECT_EQ(fields_of(fields_of(text.at(9)).at(1)).at(1), "text");
  const auto tensor = fields_of(text.at(8));
  EXPECT_EQ(tensor.at(1), "7");
  EXPECT_EQ(tensor.at(8), "# run?") << "a broken byte would make the whole file unreadable";
}

TEST(EventFile, AContinuedRunSaysWhereItStands) {
  const TempFolder folder;
  const EventFile first(folder.path()), second(folder.path(), 12);
  EXPECT_NE(first.path(), second.path());
  EXPECT_EQ(records_of(read_file(first.path())).size(), 1U);
  const std::vector<std::string> records = records_of(read_file(second.path()));
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(fields_of(records[1]).at(2), "12");
  EXPECT_EQ(fields_of(fields_of(records[1]).at(7)).at(1), "1");
}

TEST(EventFile, NamesTheFileThatCannotBeWritten) {
  const TempFolder folder;
  folder.write("file", "");
  EXPECT_EQ(error_of([&] { EventFile(folder / "file"); }).find((folder / "file").string()), 0U);
  EventFile file(folder.path());
  const FileSizeLimit limit(100);
  const std::string error = error_of([&] {
    for (int i = 0; i < 10; ++i) file.scalar("loss", i, 1.0);
    file.flush();
  });
  EXPECT_EQ(error, file.path().string() + " cannot be written: File too large");
}

}  // namespace
}  // namespace cardiograd
