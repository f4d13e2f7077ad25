// The events of a run's metrics.jsonl.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cardiograd::testing {

// All of them, or those of one kind.
inline std::vector<nlohmann::json> events(const std::filesystem::path& run,
                                          const std::string& kind = "") {
  std::vector<nlohmann::json> all;
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json event = nlohmann::json::parse(line);
    if (kind.empty() || event.at("event") == kind) all.push_back(std::move(event));
  }
  return all;
}

// Losses of the steps and of the validations, in the order in which they came.
inline std::vector<double> losses_of(const std::filesystem::path& run) {
  std::vector<double> losses;
  for (const nlohmann::json& event : events(run)) {
    if (event.at("event") == "step") losses.push_back(event.at("loss").get<double>());
    if (event.at("event") == "epoch") losses.push_back(event.at("valid_loss").get<double>());
  }
  return losses;
}

// events() without what the clock and the machine decide.
inline std::vector<nlohmann::json> repeatable_events(const std::filesystem::path& run,
                                                     const std::string& kind = "") {
  std::vector<nlohmann::json> all = events(run, kind);
  for (nlohmann::json& event : all) {
    for (const char* measured :
         {"records_per_second", "data_wait", "save_seconds", "peak_memory_mb"}) {
      event.erase(measured);
    }
  }
  return all;
}

}  // namespace cardiograd::testing
