// What TensorBoard's own package reads from our event files. It is a Python package, which only
// developers have.
#include "trainer/event_file.h"

#include <gtest/gtest.h>

#include "tests/support/run_program.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::run_program;

TEST(EventFile, TensorBoardReadsIt) {
  if (run_program("/usr/bin/env", {"python3", "-c", "import tensorboard"}).exit_code != 0) {
    GTEST_SKIP() << "the Python package tensorboard is missing";
  }
  const testing::TempFolder folder;
  {
    EventFile file(folder.path());
    file.text("config", 0, "*config*");
    for (int step = 1; step <= 4; ++step) file.scalar("loss/train", step, 1.0 / step);
    file.flush();
  }
  EventFile continued(folder.path(), 3);
  continued.scalar("loss/train", 3, 8.0);
  continued.flush();
  const auto read = run_program(
      "/usr/bin/env",
      {"python3", CARDIOGRAD_SOURCE_DIR "/tests/golden/read_events.py", folder.path().string()});
  EXPECT_EQ(read.exit_code, 0) << read.err;
  EXPECT_EQ(read.out, "loss/train 1 1.0\nloss/train 2 0.5\nloss/train 3 8.0\nconfig 0 *config*\n");
}

}  // namespace
}  // namespace cardiograd
