// Golden values: safetensors files that tests/golden/make_golden.py makes with PyTorch.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/module.h"
#include "nn/safetensors.h"

namespace cardiograd::testing {

class GoldenFile {
 public:
  // `name`: a file of tests/golden/data.
  GoldenFile(const std::string& name, std::shared_ptr<Backend> backend);

  const SafetensorsFile& file() const { return file_; }
  bool contains(const std::string& name) const { return file_.contains(name); }
  std::vector<float> values(const std::string& name) const;
  // In PyTorch's layout.
  Tensor tensor(const std::string& name) const;
  // PyTorch's [N, C, L] as our [N, L, C].
  Tensor sequence(const std::string& name) const;

 private:
  SafetensorsFile file_;
  std::shared_ptr<Backend> backend_;
};

// [N, L, C] and [N, C, L], one from the other.
Tensor swap_time_and_channels(const Tensor& x);

// The largest difference, relative to the largest expected magnitude; 0 where both are empty,
// infinite where the counts differ.
double relative_difference(const std::vector<float>& actual, const std::vector<float>& expected);
// Sum of squared differences over sum of squares.
double normalised_squared_error(const std::vector<float>& actual,
                                const std::vector<float>& expected);

}  // namespace cardiograd::testing
