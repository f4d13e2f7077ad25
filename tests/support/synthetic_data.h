// A small synthetic data set, packed: for tests that train.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/prepare.h"
#include "data/synth.h"
#include "tests/support/temp_folder.h"

namespace cardiograd::testing {

class SyntheticData {
 public:
  explicit SyntheticData(std::int64_t records) {
    make_synth_dataset({.out = folder_ / "ptbxl", .records = records, .rate = 100, .seed = 1});
    prepare({.root = root(), .rate = 100, .out = packed()});
  }
  std::filesystem::path root() const { return folder_ / "ptbxl"; }
  std::filesystem::path packed() const { return folder_ / "packed.safetensors"; }

 private:
  TempFolder folder_;
};

}  // namespace cardiograd::testing
