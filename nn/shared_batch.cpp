#include "nn/shared_batch.h"

#include <utility>

namespace cardiograd {

namespace {

thread_local SharedBatchScope* innermost = nullptr;

}  // namespace

SharedBatchScope::SharedBatchScope(SharedBatch batch)
    : batch_(std::make_shared<const SharedBatch>(std::move(batch))), outer_(innermost) {
  innermost = this;
}

SharedBatchScope::~SharedBatchScope() { innermost = outer_; }

std::shared_ptr<const SharedBatch> SharedBatchScope::current() {
  return innermost ? innermost->batch_ : nullptr;
}

}  // namespace cardiograd
