#include "tools/bench_kernel_case.h"

namespace cardiograd {

double BenchOperand::traffic() const {
  const double once = static_cast<double>(dims.numel()) * static_cast<double>(size_of(dtype));
  return once * passes * (role == BenchRole::updated ? 2.0 : 1.0);
}

const View& BenchViews::operator[](std::string_view name) const {
  for (const auto& [each, view] : views_) {
    if (each == name) return view;
  }
  throw InputError("a benchmark case has no operand " + std::string(name));
}

BenchCase::BenchCase(std::string method, std::string text, DType storage, BenchCall function)
    : operation(std::move(method)),
      shape(std::move(text)),
      dtype(storage),
      call(std::move(function)) {}

BenchCase& BenchCase::other(BenchOperand operand) {
  operands.push_back(std::move(operand));
  return *this;
}

BenchCase& BenchCase::read(std::string name, const Dims& dims, double low, double high) {
  return other({std::move(name), BenchRole::read, dtype, dims, low, high});
}
BenchCase& BenchCase::written(std::string name, const Dims& dims) {
  return other({std::move(name), BenchRole::written, dtype, dims});
}
BenchCase& BenchCase::updated(std::string name, const Dims& dims) {
  return other({std::move(name), BenchRole::updated, dtype, dims});
}

BenchCase& BenchCase::twice() {
  operands.back().passes = 2;
  return *this;
}

BenchCase& BenchCase::arithmetic(double count) {
  flops = count;
  return *this;
}
BenchCase& BenchCase::multiply_adds(double count) {
  flops = 2.0 * count;
  product = true;
  return *this;
}

double BenchCase::bytes() const {
  if (traffic > 0.0) return traffic;
  double sum = 0.0;
  for (const BenchOperand& operand : operands) sum += operand.traffic();
  return sum;
}

std::vector<BenchCase> bench_kernel_cases(DType dtype, const BenchSizes& sizes) {
  std::vector<BenchCase> cases;
  add_movement_bench_cases(cases, dtype, sizes);
  add_pooling_bench_cases(cases, dtype, sizes);
  add_product_bench_cases(cases, dtype, sizes);
  add_sequence_bench_cases(cases, dtype, sizes);
  add_normalisation_bench_cases(cases, dtype, sizes);
  add_training_bench_cases(cases, dtype, sizes);
  return cases;
}

BenchCase copy_ceiling_case(const BenchSizes& sizes) {
  BenchCase ceiling{"copy", "ceiling", DType::f32,
                    [](Backend& backend, const BenchViews& o) { backend.copy(o["x"], o["y"]); }};
  return ceiling.read("x", {sizes.bulk}).written("y", {sizes.bulk});
}

BenchCase product_ceiling_case(DType dtype, const BenchSizes& sizes) {
  const std::int64_t n = sizes.square;
  BenchCase ceiling{"linear_forward", "ceiling", dtype, [](Backend& backend, const BenchViews& o) {
                      backend.linear_forward(o["x"], o["weight"], ConstView{}, o["y"]);
                    }};
  return ceiling.read("x", {n, n})
      .read("weight", {n, n})
      .written("y", {n, n})
      .multiply_adds(static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n));
}

BenchCase launch_ceiling_case() {
  BenchCase ceiling{"fill", "ceiling", DType::f32,
                    [](Backend& backend, const BenchViews& o) { backend.fill(o["y"], 1.0); }};
  return ceiling.written("y", {1});
}

}  // namespace cardiograd
