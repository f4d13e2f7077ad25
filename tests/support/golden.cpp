#include "tests/support/golden.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "nn/ops.h"
#include "nn/tape.h"

namespace cardiograd::testing {

GoldenFile::GoldenFile(const std::string& name, std::shared_ptr<Backend> backend)
    : file_(std::string(CARDIOGRAD_SOURCE_DIR) + "/tests/golden/data/" + name),
      backend_(std::move(backend)) {}

std::vector<float> GoldenFile::values(const std::string& name) const {
  const ConstView view = file_.view(name);
  const float* data = view.as<float>();
  return {data, data + view.numel()};
}

Tensor GoldenFile::tensor(const std::string& name) const {
  const ConstView view = file_.view(name);
  return Tensor::from_host<float>(backend_, view.dims, DType::f32,
                                  {view.as<float>(), static_cast<std::size_t>(view.numel())});
}

Tensor GoldenFile::sequence(const std::string& name) const {
  return swap_time_and_channels(tensor(name));
}

Tensor swap_time_and_channels(const Tensor& x) {
  const NoGradScope no_grad;
  return permute(x, {0, 2, 1});
}

double relative_difference(const std::vector<float>& actual, const std::vector<float>& expected) {
  if (actual.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double largest = 0.0;
  double error = 0.0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    largest = std::max(largest, std::fabs(double{expected[i]}));
    const double difference = std::fabs(double{actual[i]} - double{expected[i]});
    if (!(difference <= error)) error = difference;  // a NaN stays
  }
  return error == 0.0 ? 0.0 : error / largest;
}

double normalised_squared_error(const std::vector<float>& actual,
                                const std::vector<float>& expected) {
  if (actual.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double squares = 0.0;
  double errors = 0.0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    squares += double{expected[i]} * double{expected[i]};
    errors += std::pow(double{actual[i]} - double{expected[i]}, 2);
  }
  return errors == 0.0 ? 0.0 : errors / squares;
}

}  // namespace cardiograd::testing
