#include "tests/emulator/fibre.h"

#include <new>
#include <sys/mman.h>

#include "tests/support/address_sanitizer.h"

namespace cardiograd::emulator {
namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

constexpr std::size_t stack_bytes = 256 * 1024;
constexpr std::size_t fence_bytes = 4096;  // below the stack: running over it is a fault

// Where the host was when it resumed the fibre that runs now.
struct Host {
  boost::context::detail::fcontext_t context = nullptr;
  Fibre* running = nullptr;
  void* fake_stack = nullptr;
  const void* stack_bottom = nullptr;
  std::size_t stack_size = 0;
};
Host host;

void announce_switch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* bottom,
                     [[maybe_unused]] std::size_t size) {
#if defined(CARDIOGRAD_ADDRESS_SANITIZER)
  __sanitizer_start_switch_fiber(fake_stack, bottom, size);
#endif
}

void finish_switch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** bottom,
                   [[maybe_unused]] std::size_t* size) {
#if defined(CARDIOGRAD_ADDRESS_SANITIZER)
  __sanitizer_finish_switch_fiber(fake_stack, bottom, size);
#endif
}

}  // namespace

Fibre::Fibre(void (*body)()) : body_(body) {
  void* memory = mmap(nullptr, fence_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  static_cast<void>(mprotect(memory, fence_bytes, PROT_NONE));
  stack_ = static_cast<unsigned char*>(memory) + fence_bytes;
  context_ = make_fcontext(stack_ + stack_bytes, stack_bytes, enter);
}

Fibre::~Fibre() {
  // A fibre given up in the middle leaves the fences of its frames behind.
  ASAN_UNPOISON_MEMORY_REGION(stack_, stack_bytes);
  static_cast<void>(munmap(stack_ - fence_bytes, fence_bytes + stack_bytes));
}

void Fibre::enter(transfer_t from) {
  finish_switch(nullptr, &host.stack_bottom, &host.stack_size);
  host.context = from.fctx;
  host.running->body_();
}

void Fibre::resume() {
  host.running = this;
  announce_switch(&host.fake_stack, stack_, stack_bytes);
  context_ = jump_fcontext(context_, nullptr).fctx;
  finish_switch(host.fake_stack, nullptr, nullptr);
}

void Fibre::suspend() {
  Fibre& self = *host.running;
  announce_switch(&self.fake_stack_, host.stack_bottom, host.stack_size);
  const transfer_t back = jump_fcontext(host.context, nullptr);
  finish_switch(self.fake_stack_, &host.stack_bottom, &host.stack_size);
  host.context = back.fctx;
}

}  // namespace cardiograd::emulator
