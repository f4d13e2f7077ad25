#include "kernels/observed_backend.h"

#include <type_traits>
#include <utility>

#include "kernels/operation_clock.h"
#include "kernels/range.h"

namespace cardiograd {

namespace {

// What is no operation is handed on as it is.
class Forwarding : public Backend {
 public:
  Forwarding(std::shared_ptr<Backend> backend, std::shared_ptr<OperationObserver> observer)
      : backend_(std::move(backend)), observer_(std::move(observer)) {}

  std::string name() const override { return backend_->name(); }
  DType default_dtype() const override { return backend_->default_dtype(); }
  void* allocate(std::size_t bytes) override { return backend_->allocate(bytes); }
  void deallocate(void* data, std::size_t bytes) noexcept override {
    backend_->deallocate(data, bytes);
  }
  void synchronize() override { backend_->synchronize(); }
  bool reads_host_memory() const override { return backend_->reads_host_memory(); }
  std::size_t free_memory() const override { return backend_->free_memory(); }
  std::shared_ptr<Backend> second_queue() override { return backend_->second_queue(); }
  void trace_memory(MemoryTrace* trace) override { backend_->trace_memory(trace); }
  // What is replayed is not asked for operation by operation: there would be nothing to observe.
  std::unique_ptr<Recorder> make_recorder() override { return nullptr; }
  void upload_rows(ConstView x, std::span<const std::int32_t> rows, View y) override {
    backend_->upload_rows(x, rows, y);
  }
  std::unique_ptr<OperationClock> operation_clock() override { return backend_->operation_clock(); }

 protected:
  template <class Result, class... Operands>
  Result observe(const char* operation, Result (Backend::*method)(Operands...),
                 Operands... operands) {
    const Range range(operation);
    observer_->begin(operation);
    const auto run = [&] { return (backend_.get()->*method)(std::forward<Operands>(operands)...); };
    if constexpr (std::is_void_v<Result>) {
      run();
      observer_->end();
    } else {
      const Result result = run();
      observer_->end();
      return result;
    }
  }

 private:
  std::shared_ptr<Backend> backend_;
  std::shared_ptr<OperationObserver> observer_;
};

// Each operation adds one override to the class below it: the operands are those of Backend's
// method.
#define CARDIOGRAD_OPERATION(operation)                                                        \
  template <class Below, class Method>                                                         \
  class With_##operation;                                                                      \
  template <class Below, class Result, class... Operands>                                      \
  class With_##operation<Below, Result (Backend::*)(Operands...)> : public Below {             \
   public:                                                                                     \
    using Below::Below;                                                                        \
    Result operation(Operands... operands) override {                                          \
      return this->template observe<Result, Operands...>(#operation, &Backend::operation,      \
                                                         std::forward<Operands>(operands)...); \
    }                                                                                          \
  };                                                                                           \
  template <class Below>                                                                       \
  using Observed_##operation = With_##operation<Below, decltype(&Backend::operation)>;
#include "kernels/operation_names.inl"
#undef CARDIOGRAD_OPERATION

template <class Below, template <class> class... Operations>
struct Stack {
  using Top = Below;
};
template <class Below, template <class> class First, template <class> class... Rest>
struct Stack<Below, First, Rest...> {
  using Top = typename Stack<First<Below>, Rest...>::Top;
};

#define CARDIOGRAD_OPERATION(operation) , Observed_##operation
using ObservedBackend = Stack<Forwarding
#include "kernels/operation_names.inl"
                              >::Top;
#undef CARDIOGRAD_OPERATION

}  // namespace

std::shared_ptr<Backend> observed_backend(std::shared_ptr<Backend> backend,
                                          std::shared_ptr<OperationObserver> observer) {
  return std::make_shared<ObservedBackend>(std::move(backend), std::move(observer));
}

}  // namespace cardiograd
