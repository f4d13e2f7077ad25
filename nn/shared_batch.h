// A batch of which this process has a part, others the rest: BatchNorm then normalises by the
// moments of the whole batch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/view.h"

namespace cardiograd {

struct SharedBatch {
  // Replaces a view (f32, or f64 on the reference) by its sum over the processes. All processes run
  // the same model, so that they call it equally often with the same shapes; backward calls it too.
  std::function<void(const View&)> sum;
  std::int64_t records = 0;  // of the whole batch, all processes together
};

// While it lives, batch_norm in training computes over the shared batch; backward of what was
// computed under it may come later. A process may have none of the records. Of this thread; scopes
// nest.
class SharedBatchScope {
 public:
  explicit SharedBatchScope(SharedBatch batch);
  SharedBatchScope(const SharedBatchScope&) = delete;
  SharedBatchScope& operator=(const SharedBatchScope&) = delete;
  ~SharedBatchScope();

  // The innermost scope's; null without.
  static std::shared_ptr<const SharedBatch> current();

 private:
  std::shared_ptr<const SharedBatch> batch_;
  SharedBatchScope* outer_;
};

}  // namespace cardiograd
