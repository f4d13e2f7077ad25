// A stack and what runs on it, switched to and from by hand. AddressSanitizer is told of each
// switch, so that its reports show the right stack.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

namespace cardiograd::emulator {

// One host thread switches between its own stack and those of its fibres.
class Fibre {
 public:
  // `body` runs on the fibre's stack at the first resume and never returns.
  explicit Fibre(void (*body)());
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;
  ~Fibre();

  // From the host's stack: runs the fibre until it calls suspend.
  void resume();
  // From the fibre that runs: back to the host's stack.
  static void suspend();

 private:
  static void enter(boost::context::detail::transfer_t from);

  void (*body_)();
  unsigned char* stack_;
  boost::context::detail::fcontext_t context_;
  void* fake_stack_ = nullptr;  // AddressSanitizer's, while suspended
};

}  // namespace cardiograd::emulator
