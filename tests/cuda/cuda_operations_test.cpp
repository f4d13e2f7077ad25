// Every operation of CudaBackend against the reference, case by case, in each order of threads that
// the machine has: on the emulator (label kernel) or on a GPU (label gpu).
#include <gtest/gtest.h>
#include <set>

#include "kernels/cuda/cuda_backend.h"
#include "tests/cuda/machine.h"
#include "tests/kernels/operation_cases.h"

namespace cardiograd {
namespace {

// Methods that have no bf16 storage, because what they work on stays in f32.
const std::set<std::string>& f32_only() {
  static const std::set<std::string> names{"optimizer_step"};
  return names;
}

std::shared_ptr<Backend> backend_or_skip(DType dtype, std::string& reason) {
  try {
    return make_cuda_kernel_backend(0, dtype);
  } catch (const DeviceError& error) {
    reason = error.what();
    return nullptr;
  }
}

// (storage, order, Backend's method)
using Parameter = std::tuple<DType, std::string, std::string>;
class CudaOperations : public ::testing::TestWithParam<Parameter> {};

TEST_P(CudaOperations, AgreesWithReference) {
  const auto& [dtype, order, method] = GetParam();
  std::string reason;
  const std::shared_ptr<Backend> backend = backend_or_skip(dtype, reason);
  if (!backend) CARDIOGRAD_WITHOUT_DEVICE(reason);
  testing::set_thread_order(order);
  // bf16 keeps 8 bits: one rounding is an error of 2^-9 at most, sums carry several.
  const cases::Tolerance tolerance =
      dtype == DType::bf16 ? cases::Tolerance{1e-3, 2e-2} : cases::Tolerance{};
  for (const cases::OperationCase& each : cases::operation_named(method).cases()) {
    try {
      EXPECT_EQ(cases::check_case(each, *backend, tolerance), "") << method;
    } catch (const std::exception& error) {
      ADD_FAILURE() << method << " " << each.name << " threw: " << error.what();
    }
  }
}

std::vector<std::string> methods(DType dtype) {
  std::vector<std::string> names;
  for (const cases::Operation& operation : cases::operations()) {
    if (dtype == DType::f32 || !f32_only().count(operation.name)) names.push_back(operation.name);
  }
  return names;
}

std::string name_of_test(const ::testing::TestParamInfo<Parameter>& parameter) {
  return std::get<2>(parameter.param) + "_" + std::get<1>(parameter.param);
}

INSTANTIATE_TEST_SUITE_P(F32, CudaOperations,
                         ::testing::Combine(::testing::Values(DType::f32),
                                            ::testing::ValuesIn(testing::thread_orders()),
                                            ::testing::ValuesIn(methods(DType::f32))),
                         name_of_test);
// What the orders can show, they show in f32, but for what runs on tensor cores in bf16 alone.
INSTANTIATE_TEST_SUITE_P(BF16, CudaOperations,
                         ::testing::Combine(::testing::Values(DType::bf16),
                                            ::testing::Values(testing::thread_orders().back()),
                                            ::testing::ValuesIn(methods(DType::bf16))),
                         name_of_test);

std::vector<std::string> other_orders() {
  std::vector<std::string> orders = testing::thread_orders();
  orders.pop_back();
  return orders;
}
INSTANTIATE_TEST_SUITE_P(
    TensorCores, CudaOperations,
    ::testing::Combine(::testing::Values(DType::bf16), ::testing::ValuesIn(other_orders()),
                       ::testing::Values("linear_forward", "linear_backward_data",
                                         "linear_backward_weight", "conv1d_forward",
                                         "conv1d_backward_data", "conv1d_backward_weight",
                                         "conv1d_relu_maxpool_forward", "lstm_forward")),
    name_of_test);

TEST(CudaBackend, SaysWhichDeviceItIsAndWhatItComputesIn) {
  std::string reason;
  const std::shared_ptr<Backend> backend = backend_or_skip(DType::bf16, reason);
  if (!backend) CARDIOGRAD_WITHOUT_DEVICE(reason);
  EXPECT_EQ(backend->name(), "cuda:0");
  EXPECT_EQ(backend->default_dtype(), DType::bf16);
}

TEST(CudaBackend, HandsAFreedBlockOutAgain) {
  std::string reason;
  const std::shared_ptr<Backend> backend = backend_or_skip(DType::f32, reason);
  if (!backend) CARDIOGRAD_WITHOUT_DEVICE(reason);
  void* first = backend->allocate(5000);
  backend->deallocate(first, 5000);
  void* second = backend->allocate(4999);
  EXPECT_EQ(second, first);
  backend->deallocate(second, 4999);
}

TEST(CudaBackend, RefusesDtypesThatItDoesNotComputeIn) {
  std::string reason;
  const std::shared_ptr<Backend> backend = backend_or_skip(DType::f32, reason);
  if (!backend) CARDIOGRAD_WITHOUT_DEVICE(reason);
  void* data = backend->allocate(64);
  const auto message = [&](DType x, DType y) {
    try {
      backend->scale({data, x, {4}}, 2.0, {data, y, {4}});
    } catch (const DeviceError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(message(DType::f64, DType::f64), "scale on cuda computes in f32 or bf16, got f64");
  EXPECT_EQ(message(DType::bf16, DType::f32), "scale on cuda wants all operands in f32, got bf16");
  backend->deallocate(data, 64);
}

}  // namespace
}  // namespace cardiograd
