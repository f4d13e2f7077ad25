#include "trainer/progress.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::read_file;
using testing::TempFolder;

// Puts another descriptor in the place of standard error while `action` runs.
template <class Action>
void with_standard_error(int descriptor, Action action) {
  std::fflush(stderr);
  const int saved = dup(STDERR_FILENO);
  dup2(descriptor, STDERR_FILENO);
  action();
  std::fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
}

template <class Action>
std::string said_to_a_file(Action action) {
  const TempFolder folder;
  const int file = open((folder / "err").c_str(), O_CREAT | O_WRONLY, 0600);
  with_standard_error(file, action);
  close(file);
  return read_file(folder / "err");
}

// "" where the system has no pseudo-terminals.
template <class Action>
std::string said_to_a_terminal(Action action) {
  const int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return "";
  const int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
  if (terminal < 0) return "";
  // What was written arrives in pieces, some of them late: read up to a mark behind it.
  const std::string mark = "<end>";
  with_standard_error(terminal, [&] {
    action();
    std::fputs(mark.c_str(), stderr);
  });
  std::string text;
  std::array<char, 4096> buffer{};
  while (!text.ends_with(mark)) {
    const ssize_t count = read(master, buffer.data(), buffer.size());
    if (count <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  close(terminal);
  close(master);
  EXPECT_TRUE(text.ends_with(mark)) << text;
  return text.substr(0, text.size() - std::min(mark.size(), text.size()));
}

void work(bool quiet) {
  Progress progress(quiet);
  progress.begin("epoch 1/2", 8);
  progress.update(4, "loss 0.5");
  progress.finish("epoch 1/2 done");
}

TEST(Progress, WritesFinishedLinesAloneWhereThereIsNoTerminal) {
  EXPECT_EQ(said_to_a_file([] { work(false); }), "epoch 1/2 done\n");
}

TEST(Progress, QuietWritesNothing) {
  EXPECT_EQ(said_to_a_file([] { work(true); }), "");
  EXPECT_EQ(said_to_a_terminal([] { work(true); }), "");
}

TEST(Progress, DrawsABarOnATerminalAndReplacesItAtTheEnd) {
  const std::string text = said_to_a_terminal([] { work(false); });
  if (text.empty()) GTEST_SKIP() << "pseudo-terminals are missing";
  EXPECT_EQ(text,
            "\r\033[Kepoch 1/2 [############............]  50 %  0:00 left  loss 0.5"
            "\r\033[Kepoch 1/2 done\r\n");
}

TEST(Progress, ABarThatNothingFinishedIsRemovedInTheEnd) {
  const std::string text = said_to_a_terminal([] {
    Progress progress;
    progress.begin("test", 2);
    progress.update(1);
  });
  if (text.empty()) GTEST_SKIP() << "pseudo-terminals are missing";
  EXPECT_TRUE(text.ends_with("left  \r\033[K")) << text;
}

TEST(Progress, RedrawsAtMostTenTimesASecond) {
  const std::string text = said_to_a_terminal([] {
    Progress progress;
    progress.begin("work", 1000);
    for (int done = 1; done < 1000; ++done) progress.update(done);
    progress.finish();
  });
  if (text.empty()) GTEST_SKIP() << "pseudo-terminals are missing";
  EXPECT_LT(text.size(), 1000U);
  EXPECT_NE(text.find("work [....."), std::string::npos) << text;
}

TEST(Progress, NothingToDoIsNoDivisionByZero) {
  const std::string text = said_to_a_terminal([] {
    Progress progress;
    progress.begin("nothing", 0);
    progress.update(0);
  });
  if (text.empty()) GTEST_SKIP() << "pseudo-terminals are missing";
  EXPECT_NE(text.find("  0 %  -:-- left"), std::string::npos) << text;
}

}  // namespace
}  // namespace cardiograd
