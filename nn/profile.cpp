#include "nn/profile.h"

#include <algorithm>
#include <utility>

namespace cardiograd {

namespace {

// The profile whose step this thread is in.
thread_local const Profile* listening = nullptr;

}  // namespace

double ProfileReport::between_microseconds() const {
  double rest = step_microseconds;
  for (const ProfileRow& row : rows) rest -= row.microseconds;
  return rest;
}

Profile::Profile(std::unique_ptr<OperationClock> clock, std::int64_t skipped)
    : clock_(std::move(clock)), left_to_skip_(skipped) {}

Profile::~Profile() {
  if (listening == this) listening = nullptr;
}

void Profile::begin_step() {
  clock_->read();  // of a step that did not end
  done_.clear();
  listening = this;
  begun_ = Clock::now();
}

void Profile::end_step() {
  const std::vector<double> times = clock_->read();
  const double elapsed = std::chrono::duration<double, std::micro>(Clock::now() - begun_).count();
  listening = nullptr;
  if (left_to_skip_ > 0) {
    --left_to_skip_;
    ++skipped_;
    return;
  }
  ++steps_;
  microseconds_ += elapsed;
  for (std::size_t i = 0; i < times.size(); ++i) {
    Total& total = totals_[done_[i]];
    ++total.calls;
    total.microseconds += times[i];
  }
}

void Profile::begin(const char* operation) {
  if (listening != this) return;
  asked_ = {LayerScope::current(), operation, PassScope::current()};
  clock_->begin();
}

void Profile::end() {
  if (listening != this) return;
  clock_->end();
  done_.push_back(asked_);
}

ProfileReport Profile::report() const {
  ProfileReport report;
  report.steps = steps_;
  report.skipped = skipped_;
  if (steps_ == 0) return report;
  const auto steps = static_cast<double>(steps_);
  report.step_microseconds = microseconds_ / steps;
  for (const auto& [key, total] : totals_) {
    const auto& [layer, operation, pass] = key;
    report.rows.push_back({std::string(layer), std::string(operation), pass,
                           static_cast<double>(total.calls) / steps, total.microseconds / steps});
  }
  std::stable_sort(
      report.rows.begin(), report.rows.end(),
      [](const ProfileRow& a, const ProfileRow& b) { return a.microseconds > b.microseconds; });
  return report;
}

ProfiledBackend profiled(const std::shared_ptr<Backend>& backend) {
  auto profile = std::make_shared<Profile>(backend->operation_clock());
  return {profile, observed_backend(backend, profile)};
}

}  // namespace cardiograd
