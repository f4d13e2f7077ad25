#include "trainer/run_folder.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/file_size_limit.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::FileSizeLimit;
using testing::read_file;
using testing::TempFolder;

TEST(RunFolder, IsMadeWithItsParents) {
  const TempFolder folder;
  const RunFolder run(folder / "runs/a/b");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "runs/a/b"));
  EXPECT_EQ(run.path(), folder / "runs/a/b");
}

TEST(RunFolder, AnEmptyFolderIsTaken) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "run");
  EXPECT_EQ(error_of([&] { RunFolder(folder / "run"); }), "");
}

TEST(RunFolder, AFolderThatHoldsSomethingIsRefusedAndLeftAlone) {
  const TempFolder folder;
  folder.write("run/metrics.jsonl", "old\n");
  EXPECT_EQ(
      error_of([&] { RunFolder(folder / "run"); }),
      "run.dir " + (folder / "run").string() +
          " exists already: choose another folder, or move the old run away, or go on with it "
          "by --resume");
  EXPECT_EQ(read_file(folder / "run/metrics.jsonl"), "old\n");
}

TEST(RunFolder, AFileInItsWayIsNamed) {
  const TempFolder folder;
  folder.write("empty", "");
  EXPECT_EQ(error_of([&] { RunFolder(folder / "empty"); }),
            "run.dir " + (folder / "empty").string() + " cannot be made: Not a directory");
  EXPECT_EQ(error_of([&] { RunFolder(folder / "empty/run"); }),
            "run.dir " + (folder / "empty/run").string() + " cannot be made: Not a directory");
}

TEST(RunFolder, EachEventIsALineInTheFileAtOnce) {
  const TempFolder folder;
  RunFolder run(folder / "run");
  run.log({{"event", "step"}, {"loss", 0.5}});
  EXPECT_EQ(read_file(folder / "run/metrics.jsonl"), "{\"event\":\"step\",\"loss\":0.5}\n");
  run.log({{"text", "two\nlines"}});
  EXPECT_EQ(read_file(folder / "run/metrics.jsonl"),
            "{\"event\":\"step\",\"loss\":0.5}\n{\"text\":\"two\\nlines\"}\n");
}

TEST(RunFolder, AFullDiskIsSaid) {
  const TempFolder folder;
  RunFolder run(folder / "run");
  const FileSizeLimit limit(10);
  EXPECT_EQ(error_of([&] {
              run.log({{"text", "longer than ten bytes"}});
            }),
            (folder / "run/metrics.jsonl").string() + " cannot be written: File too large");
}

}  // namespace
}  // namespace cardiograd
