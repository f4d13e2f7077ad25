#include "nn/lost_pages.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <unistd.h>

namespace cardiograd {

namespace {

constexpr std::size_t longest_path = 1024;
constexpr int exit_failed = 1;

// The handler reads these without locks: begin is set last and cleared first.
struct Mapping {
  std::atomic<bool> taken{false};
  std::atomic<std::uintptr_t> begin{0};
  std::uintptr_t end = 0;
  std::array<char, longest_path> path{};
};
std::array<Mapping, 64> mappings;
std::array<char, 64> program_name;

void say(const char* text) {
  const ssize_t ignored = write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(ignored);
}

// Only calls that are safe in a handler.
void report(int signal, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (info->si_code == BUS_ADRERR) {
    for (const Mapping& mapping : mappings) {
      const std::uintptr_t begin = mapping.begin;
      if (begin == 0 || address < begin || address >= mapping.end) continue;
      say(program_name.data());
      say(": ");
      say(mapping.path.data());
      say(" was shortened while it was read, or its disk fails: make the file again and do not "
          "change it while a program uses it\n");
      _exit(exit_failed);
    }
  }
  std::signal(signal, SIG_DFL);  // the access is repeated and ends the program
}

template <std::size_t N>
void copy_text(const std::string& text, std::array<char, N>& to) {
  const std::size_t count = std::min(text.size(), N - 1);
  text.copy(to.data(), count);
  to[count] = '\0';
}

}  // namespace

void report_lost_pages(const std::string& program) {
  copy_text(program, program_name);
  struct sigaction action {};
  action.sa_sigaction = report;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

void remember_mapping(const void* data, std::size_t bytes, const std::string& path) {
  for (Mapping& mapping : mappings) {
    if (mapping.taken.exchange(true)) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    mapping.end = begin + bytes;
    copy_text(path, mapping.path);
    mapping.begin = begin;
    return;
  }
}

void forget_mapping(const void* data) {
  for (Mapping& mapping : mappings) {
    if (mapping.begin != reinterpret_cast<std::uintptr_t>(data)) continue;
    mapping.begin = 0;
    mapping.taken = false;
    return;
  }
}

}  // namespace cardiograd
