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

void Progress::begin(const std::string& title, std::int64_t total) {
  title_ = title;
  total_ = std::max<std::int64_t>(total, 1);
  begun_ = std::chrono::steady_clock::now();
  drawn_ = {};
}

void Progress::update(std::int64_t done, const std::string& note) {
  if (quiet_ || !terminal_ || (done < total_ && seconds_since(drawn_) < 0.1)) return;
  drawn_ = std::chrono::steady_clock::now();
  const double share = static_cast<double>(done) / static_cast<double>(total_);
  const auto full = static_cast<std::size_t>(share * bar_width);
  const double elapsed = seconds_since(begun_);
  const std::string bar = std::string(full, '#') + std::string(bar_width - full, '.');
  std::fprintf(stderr, "\r\033[K%s [%s] %3.0f%%  %s left  %s", title_.c_str(), bar.c_str(),
               100.0 * share, done > 0 ? clock_text(elapsed / share - elapsed).c_str() : "-:--",
               note.c_str());
  std::fflush(stderr);
}

void Progress::finish(const std::string& line) {
  if (quiet_) return;
  std::fprintf(stderr, "%s%s\n", terminal_ ? "\r\033[K" : "", line.c_str());
}

}  // namespace cardiograd
