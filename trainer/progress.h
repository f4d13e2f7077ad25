// Progress on standard error: a bar on a terminal, a plain line every ten seconds elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cardiograd {

class Progress {
 public:
  // quiet: nothing at all.
  explicit Progress(bool quiet = false);
  // Removes a bar that nothing finished, so that what is said next stands on a line of its own.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Begins a line of work of `total` units ("epoch 3/30"), of which `done` were done before.
  void begin(const std::string& title, std::int64_t total, std::int64_t done = 0);
  // `note` stands behind the bar ("loss 0.312"); a bar is redrawn at most ten times a second.
  void update(std::int64_t done, const std::string& note = "");
  // Replaces the bar with one finished line, or removes it where the line is empty.
  void finish(const std::string& line = "");

 private:
  bool quiet_;
  bool terminal_;
  bool bar_ = false;  // one is on the screen
  std::string title_;
  std::int64_t total_ = 0;
  std::int64_t before_ = 0;
  std::chrono::steady_clock::time_point begun_, shown_;
};

}  // namespace cardiograd
