#include "trainer/signals.h"

#include <atomic>

namespace cardiograd {

namespace {

// Handlers may run on any thread.
std::atomic<int> stop{0};
std::atomic<bool> save{false};
std::atomic<bool> interrupted{false};
bool listening = false;  // some scope is there
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void take_note(int signal) {
  if (signal == SIGUSR1) {
    save = true;
    return;
  }
  if (signal == SIGINT && interrupted.exchange(true)) {
    // Blocked until this returns; then the default action ends the program.
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
    return;
  }
  int none = 0;
  stop.compare_exchange_strong(none, signal);
}

}  // namespace

SignalScope::SignalScope() : outermost_(!listening) {
  if (!outermost_) return;
  listening = true;
  stop = 0;
  save = interrupted = false;
  struct sigaction action {};
  action.sa_handler = take_note;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < heeded.size(); ++i) sigaction(heeded[i], &action, &before_[i]);
}

SignalScope::~SignalScope() {
  if (!outermost_) return;
  listening = false;
  for (std::size_t i = 0; i < heeded.size(); ++i) sigaction(heeded[i], &before_[i], nullptr);
}

int SignalScope::stop_signal() const { return stop; }

bool SignalScope::take_save_request() { return save.exchange(false); }

}  // namespace cardiograd
