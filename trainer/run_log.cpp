#include "trainer/run_log.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "trainer/environment.h"
#include "trainer/history.h"
#include "trainer/metrics_report.h"

namespace cardiograd {
namespace {

using nlohmann::json;

template <class... Values>
std::string format(const char* pattern, Values... values) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), pattern, values...);
  return text.data();
}

std::string about(double seconds) {
  if (seconds < 90.0) return format("%.0f s", seconds);
  if (seconds < 5400.0) return format("%.0f min", seconds / 60.0);
  return format("%.1f h", seconds / 3600.0);
}

}  // namespace

RunLog::RunLog(const RunConfig& config, RunFolder& folder) : config_(config), folder_(folder) {}

void RunLog::begin() {
  if (!config_.run.tensorboard || !folder_.writes()) return;
  events_.emplace(folder_.path() / "tensorboard");
  events_->text("config", 0, "```toml\n" + to_toml(config_) + "\n```");
  events_->flush();
}

void RunLog::go_on(std::int64_t step) {
  if (!folder_.writes()) return;
  curves_ = read_curves(folder_.path() / "metrics.jsonl");
  if (config_.run.tensorboard) events_.emplace(folder_.path() / "tensorboard", step + 1);
}

void RunLog::step(const StepReport& report) {
  curves_.train_step.push_back(static_cast<double>(report.step));
  curves_.train_loss.push_back(report.loss);
  folder_.log({{"event", "step"},
               {"step", report.step},
               {"epoch", report.epoch},
               {"loss", report.loss},
               {"lr", report.lr}});
  if (!events_) return;
  events_->scalar("loss/train", report.step, report.loss);
  events_->scalar("lr", report.step, report.lr);
}

std::string RunLog::epoch(const EpochReport& report) {
  curves_.validation_step.push_back(static_cast<double>(report.step));
  curves_.validation_loss.push_back(report.valid_loss);
  curves_.validation_auroc.push_back(report.valid_auroc);
  const bool has_auroc = !std::isnan(report.valid_auroc);
  const double memory = peak_memory_megabytes();
  folder_.log({{"event", "epoch"},
               {"epoch", report.epoch},
               {"step", report.step},
               {"train_loss", report.train_loss},
               {"valid_loss", report.valid_loss},
               {"valid_macro_auroc", has_auroc ? json(report.valid_auroc) : json()},
               {"records_per_second", report.records_per_second},
               {"data_wait", report.data_wait},
               {"save_seconds", report.save_seconds},
               {"peak_memory_mb", memory},
               {"best", report.best}});
  if (events_) {
    events_->scalar("loss/train_epoch", report.step, report.train_loss);
    events_->scalar("loss/valid", report.step, report.valid_loss);
    if (has_auroc) events_->scalar("auroc/valid", report.step, report.valid_auroc);
    events_->scalar("speed/records_per_second", report.step, report.records_per_second);
    events_->scalar("speed/data_wait", report.step, report.data_wait);
    events_->scalar("memory/peak_mb", report.step, memory);
    events_->flush();
  }
  std::string line = "epoch " + std::to_string(report.epoch) + "/" + std::to_string(report.epochs) +
                     format("  train loss %.4f  valid loss %.4f  valid AUROC %.4f",
                            report.train_loss, report.valid_loss, report.valid_auroc) +
                     format("  %.0f records/s  data wait %.0f %%  %.0f MB",
                            report.records_per_second, 100.0 * report.data_wait, memory);
  if (report.epoch < report.epochs) line += "  " + about(report.seconds_left) + " left";
  return line + (report.best ? "  best" : "");
}

void RunLog::test(const Metrics& metrics, double loss, std::int64_t epoch, std::int64_t step) {
  json event = to_json(metrics);
  event["event"] = "test";
  event["epoch"] = epoch;
  event["loss"] = loss;
  folder_.log(event);
  if (!events_) return;
  events_->scalar("loss/test", step, loss);
  if (metrics.macro_auroc) events_->scalar("auroc/test", step, *metrics.macro_auroc);
  events_->flush();
}

}  // namespace cardiograd
