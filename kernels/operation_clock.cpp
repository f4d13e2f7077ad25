#include "kernels/operation_clock.h"

#include <chrono>
#include <utility>

#include "kernels/backend.h"

namespace cardiograd {

namespace {

class HostClock final : public OperationClock {
 public:
  void begin() override { begun_ = Clock::now(); }
  void end() override {
    times_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begun_).count());
  }
  std::vector<double> read() override { return std::exchange(times_, {}); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begun_;
  std::vector<double> times_;
};

}  // namespace

std::unique_ptr<OperationClock> make_host_clock() { return std::make_unique<HostClock>(); }

std::unique_ptr<OperationClock> Backend::operation_clock() { return make_host_clock(); }

}  // namespace cardiograd
