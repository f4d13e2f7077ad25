// Where the time of training steps goes: by operation, layer and pass.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "kernels/observed_backend.h"
#include "kernels/operation_clock.h"
#include "nn/layer_scope.h"

namespace cardiograd {

// An operation of one layer in one pass; figures of a mean step.
struct ProfileRow {
  std::string layer;      // "conv1"; "" outside of all layers
  std::string operation;  // as Backend calls it: "conv1d_forward"
  Pass pass = Pass::none;
  double calls = 0.0;
  double microseconds = 0.0;
};

struct ProfileReport {
  std::int64_t steps = 0;          // that were timed
  std::int64_t skipped = 0;        // the first ones, which were not
  double step_microseconds = 0.0;  // of a mean step, on the host's clock
  std::vector<ProfileRow> rows;    // the longest first

  // What a step took besides its operations.
  double between_microseconds() const;
};

// Times what is asked of a profiled backend between begin_step and end_step by the thread that
// begins the step. Other threads (a batch loader's) go unheard, and so does a second queue.
class Profile final : public OperationObserver {
 public:
  // The first steps allocate memory and choose plans, and are not counted.
  static constexpr std::int64_t first_steps = 3;

  explicit Profile(std::unique_ptr<OperationClock> clock, std::int64_t skipped = first_steps);
  ~Profile() override;

  void begin_step();
  // Waits until the device has done the step.
  void end_step();

  ProfileReport report() const;

  void begin(const char* operation) override;
  void end() override;

 private:
  using Key = std::tuple<std::string_view, std::string_view, Pass>;  // layer, operation
  struct Total {
    std::int64_t calls = 0;
    double microseconds = 0.0;
  };
  using Clock = std::chrono::steady_clock;

  std::unique_ptr<OperationClock> clock_;
  std::int64_t left_to_skip_;
  std::int64_t skipped_ = 0, steps_ = 0;
  double microseconds_ = 0.0;
  std::map<Key, Total> totals_;
  Key asked_;
  std::vector<Key> done_;  // in this step, in order
  Clock::time_point begun_;
};

// A backend whose operations a profile times.
struct ProfiledBackend {
  std::shared_ptr<Profile> profile;
  std::shared_ptr<Backend> backend;
};
ProfiledBackend profiled(const std::shared_ptr<Backend>& backend);

}  // namespace cardiograd
