#include "trainer/progress.h"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

namespace cardiograd {

namespace {

constexpr int bar_width = 24;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string clock_text(double seconds) {
  const auto whole = static_cast<int>(seconds + 0.5);
  char text[32];
  std::snprintf(text, sizeof text, "%d:%02d", whole / 60, whole % 60);
  return text;
}

}  // namespace

Progress::Progress(bool quiet) : quiet_(quiet), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (bar_) finish();
}

void Progress::begin(const std::string& title, std::int64_t total, std::int64_t done) {
  title_ = title;
  before_ = done;
  total_ = std::max<std::int64_t>(total, 1);
  begun_ = std::chrono::steady_clock::now();
  shown_ = terminal_ ? std::chrono::steady_clock::time_point{} : begun_;
}

void Progress::update(std::int64_t done, const std::string& note) {
  constexpr double bar_seconds = 0.1;
  constexpr double line_seconds = 10.0;
  if (quiet_ || seconds_since(shown_) < (terminal_ ? bar_seconds : line_seconds)) return;
  shown_ = std::chrono::steady_clock::now();
  const double share = static_cast<double>(done) / static_cast<double>(total_);
  const double elapsed = seconds_since(begun_);
  const auto fresh = static_cast<double>(done - before_);
  const auto to_do = static_cast<double>(total_ - done);
  const std::string left = fresh > 0.0 ? clock_text(elapsed * to_do / fresh) : "-:--";
  if (terminal_) {
    bar_ = true;
    const auto full = static_cast<std::size_t>(share * bar_width);
    const std::string bar = std::string(full, '#') + std::string(bar_width - full, '.');
    std::fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %s left  %s", title_.c_str(), bar.c_str(),
                 100.0 * share, left.c_str(), note.c_str());
  } else {
    std::fprintf(stderr, "%s %.0f %%, %s left  %s\n", title_.c_str(), 100.0 * share, left.c_str(),
                 note.c_str());
  }
  std::fflush(stderr);
}

void Progress::finish(const std::string& line) {
  if (quiet_) return;
  if (terminal_) std::fputs("\r\033[K", stderr);
  bar_ = false;
  if (!line.empty()) std::fprintf(stderr, "%s\n", line.c_str());
}

}  // namespace cardiograd
