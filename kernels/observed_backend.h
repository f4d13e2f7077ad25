// A backend that tells somebody of each operation that it is asked for. Nothing else knows of it:
// where nobody observes, there is only the backend itself.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace cardiograd {

class OperationObserver {
 public:
  OperationObserver() = default;
  OperationObserver(const OperationObserver&) = delete;
  OperationObserver& operator=(const OperationObserver&) = delete;
  virtual ~OperationObserver() = default;

  // Around each operation (operation_names.inl), on the thread that asks for it. `operation` lives
  // as long as the program. Where the operation throws, there is no end.
  virtual void begin(const char* operation) = 0;
  virtual void end() = 0;
};

// The same device, memory and queue as `backend`'s, for tensors of their own. Operations are ranges
// (kernels/range.h) besides. A second queue is the backend's own, and not observed.
std::shared_ptr<Backend> observed_backend(std::shared_ptr<Backend> backend,
                                          std::shared_ptr<OperationObserver> observer);

}  // namespace cardiograd
