#include "nn/random.h"

#include <utility>

namespace cardiograd {

namespace {

thread_local RandomScope* innermost = nullptr;

}  // namespace

RandomScope::RandomScope(std::uint64_t seed, std::uint32_t epoch, Tensor records)
    : key_{seed, epoch, 0}, records_(std::move(records)), outer_(innermost) {
  innermost = this;
}

RandomScope::~RandomScope() { innermost = outer_; }

RandomKey RandomScope::next_key() {
  if (!innermost) {
    throw Error(
        "a random operation ran in training mode outside a RandomScope: open one with the "
        "run's seed and epoch, or call eval() on the module");
  }
  const RandomKey key = innermost->key_;
  ++innermost->key_.operation;
  return key;
}

Tensor RandomScope::records() { return innermost ? innermost->records_ : Tensor(); }

}  // namespace cardiograd
