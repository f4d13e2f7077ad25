// What a run writes down while it trains: metrics.jsonl, TensorBoard's event files, the curves of
// its pictures, and the lines on the console.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "trainer/config.h"
#include "trainer/event_file.h"
#include "trainer/metrics.h"
#include "trainer/plots.h"
#include "trainer/run_folder.h"

namespace cardiograd {

struct StepReport {
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  double loss = 0.0;
  double lr = 0.0;
};

struct EpochReport {
  std::int64_t epoch = 0;
  std::int64_t epochs = 0;
  std::int64_t step = 0;
  double train_loss = 0.0;
  double valid_loss = 0.0;
  double valid_auroc = 0.0;  // NaN where undefined
  double records_per_second = 0.0;
  double data_wait = 0.0;     // share of the time that training waited for batches
  double save_seconds = 0.0;  // that training waited for checkpoints since the last report
  double seconds_left = 0.0;  // of the whole run, as far as it can be told
  bool best = false;
};

class RunLog {
 public:
  RunLog(const RunConfig& config, RunFolder& folder);

  // Begins an event file. After a resume or a way back, at `step`: the curves are those of
  // metrics.jsonl, and viewers drop what was logged beyond it.
  void begin();
  void go_on(std::int64_t step);

  void step(const StepReport& report);
  // Returns the line for the console.
  std::string epoch(const EpochReport& report);
  void test(const Metrics& metrics, double loss, std::int64_t epoch, std::int64_t step);
  // Anything else, into metrics.jsonl alone.
  void event(const nlohmann::json& event) { folder_.log(event); }

  const TrainingCurves& curves() const { return curves_; }

 private:
  const RunConfig& config_;
  RunFolder& folder_;
  std::optional<EventFile> events_;
  TrainingCurves curves_;
};

}  // namespace cardiograd
