#include "trainer/signals.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <span>

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

sigset_t set_of(std::span<const int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  return set;
}

// Of this thread and of those that OpenMP keeps for it.
void set_mask(int how, const sigset_t& set) {
#pragma omp parallel
  pthread_sigmask(how, &set, nullptr);
}

// Is there for handlers to run on.
void listen(const std::stop_token& end, const sigset_t& signals) {
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  std::mutex mutex;
  std::condition_variable_any ended;
  std::unique_lock lock(mutex);
  ended.wait(lock, end, [] { return false; });
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
  const sigset_t signals = set_of(heeded);
  pthread_sigmask(SIG_BLOCK, nullptr, &mask_before_);
  listener_ = std::jthread([signals](const std::stop_token& end) { listen(end, signals); });
  set_mask(SIG_BLOCK, signals);
}

SignalScope::~SignalScope() {
  if (!outermost_) return;
  listening = false;
  set_mask(SIG_SETMASK, mask_before_);
  for (std::size_t i = 0; i < heeded.size(); ++i) sigaction(heeded[i], &before_[i], nullptr);
}

int SignalScope::stop_signal() const { return stop; }

bool SignalScope::take_save_request() { return save.exchange(false); }

}  // namespace cardiograd
