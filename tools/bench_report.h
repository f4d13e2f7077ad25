// Where the figures of `cardiograd bench` go besides its sentences.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cardiograd {

// --json alone prints one JSON object and nothing else; --json FILE writes it beside the sentences.
struct BenchJson {
  bool wanted = false;
  std::string file;

  bool alone() const { return wanted && file.empty(); }
  void give(const nlohmann::ordered_json& report) const;
};

}  // namespace cardiograd
