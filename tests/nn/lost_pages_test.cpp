#include "nn/lost_pages.h"

#include <csignal>
#include <gtest/gtest.h>

#include "nn/input_file.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::TempFolder;

constexpr std::size_t size = 1 << 20;

int last_byte(const MappedFile& map) {
  const volatile std::byte* end = map.bytes().data() + size - 1;
  return static_cast<int>(*end);
}

TEST(LostPagesDeathTest, AMappedFileThatShrinksIsNamed) {
  const TempFolder folder;
  const auto path = folder.write("data", std::string(size, 'x'));
  const MappedFile other(folder.write("other", "y")), map(path);
  EXPECT_EQ(last_byte(map), 'x');
  std::filesystem::resize_file(path, 10);
  EXPECT_EXIT(
      {
        report_lost_pages("trainer");
        last_byte(map);
      },
      ::testing::ExitedWithCode(1),
      "^trainer: " + path.string() +
          " was shortened while it was read, or its disk fails: make the file again and do not "
          "change it while a program uses it\n$");
}

TEST(LostPagesDeathTest, WhatIsNoInputFileGoesItsWay) {
  const TempFolder folder;
  EXPECT_EXIT(
      {
        report_lost_pages("trainer");
        std::raise(SIGBUS);
        std::raise(SIGBUS);
      },
      ::testing::KilledBySignal(SIGBUS), "^$");
}

TEST(LostPagesDeathTest, AMappingThatIsGoneIsForgotten) {
  const TempFolder folder;
  const auto path = folder.write("data", std::string(size, 'x'));
  for (int i = 0; i < 1000; ++i) const MappedFile passing(path);
  MappedFile map(path);
  const MappedFile moved(std::move(map));
  std::filesystem::resize_file(path, 10);
  EXPECT_EXIT(
      {
        report_lost_pages("cardiograd");
        last_byte(moved);
      },
      ::testing::ExitedWithCode(1), "^cardiograd: ");
}

}  // namespace
}  // namespace cardiograd
