// The cases of `cardiograd bench --kernels`, each once with small sizes: on the emulator (label
// kernel) or on a GPU (label gpu).
#include <gtest/gtest.h>
#include <set>

#include "kernels/device_timer.h"
#include "tests/cuda/machine.h"
#include "tests/kernels/operation_cases.h"
#include "tools/bench_kernel_timing.h"

namespace cardiograd {
namespace {

BenchSizes small_sizes() { return {2, 3, 64, 7, 1000, 24, 4096}; }

// The device, or why there is none.
struct Machine {
  TimedDevice device;
  std::string reason;

  Machine() {
    try {
      device = make_timed_device("cuda");
    } catch (const DeviceError& error) {
      reason = error.what();
    }
  }
};

std::string line_of(const BenchCase& each) {
  return each.operation + " " + std::string(name_of(each.dtype)) + " " + each.shape;
}

class KernelBench : public ::testing::TestWithParam<DType> {};

TEST_P(KernelBench, EveryCaseRuns) {
  Machine machine;
  if (!machine.device.backend) CARDIOGRAD_WITHOUT_DEVICE(machine.reason);
  Backend& backend = *machine.device.backend;
  for (const BenchCase& each : bench_kernel_cases(GetParam(), small_sizes())) {
    SCOPED_TRACE(line_of(each));
    const BenchOperands operands(backend, each, 1);
    ASSERT_NO_THROW(each.call(backend, operands[0]));
    ASSERT_NO_THROW(backend.synchronize());
  }
}

// A call moves each operand at least once, except where the case says that it looks at a part, and
// no more than four times (twice through what is read and written).
TEST_P(KernelBench, TrafficIsThatOfTheOperands) {
  for (const BenchSizes& sizes : {BenchSizes{}, small_sizes()}) {
    for (const BenchCase& each : bench_kernel_cases(GetParam(), sizes)) {
      SCOPED_TRACE(line_of(each));
      double memory = 0.0;
      double outputs = 0.0;
      for (const BenchOperand& operand : each.operands) {
        const double bytes =
            static_cast<double>(operand.dims.numel()) * static_cast<double>(size_of(operand.dtype));
        EXPECT_GT(bytes, 0.0) << operand.name;
        EXPECT_GT(operand.high, operand.dtype == DType::f64 ? 0.0 : operand.low) << operand.name;
        memory += bytes;
        if (operand.role == BenchRole::written) outputs += bytes;
      }
      EXPECT_GE(each.bytes(), each.traffic > 0.0 ? outputs : memory);
      EXPECT_LE(each.bytes(), 4.0 * memory);
      EXPECT_GE(each.flops, 0.0);
      EXPECT_EQ(each.dtype, GetParam());
    }
  }
}

TEST_P(KernelBench, CoversEveryOperation) {
  std::set<std::string> timed;
  std::set<std::string> lines;
  for (const BenchCase& each : bench_kernel_cases(GetParam(), {})) {
    timed.insert(each.operation);
    EXPECT_TRUE(lines.insert(line_of(each)).second) << line_of(each) << " is there twice";
  }
  std::set<std::string> operations;
  for (const cases::Operation& operation : cases::operations()) operations.insert(operation.name);
  operations.erase("lstm_saved_size");  // it computes nothing; its cases are the two next to it
  EXPECT_EQ(timed, operations);
}

INSTANTIATE_TEST_SUITE_P(Storage, KernelBench, ::testing::Values(DType::f32, DType::bf16),
                         [](const auto& parameter) {
                           return std::string(name_of(parameter.param));
                         });

TEST(KernelBenchTiming, CountsBytesAndFlopsOfAConvolution) {
  for (const BenchCase& each : bench_kernel_cases(DType::bf16, {})) {
    if (line_of(each) != "conv1d_forward bf16 [256, 1000, 12] to 32, k 9, stride 2") continue;
    EXPECT_EQ(each.bytes(), 2.0 * (256.0 * 1000 * 12 + 9 * 12 * 32 + 32 + 256.0 * 500 * 32));
    EXPECT_EQ(each.flops, 2.0 * 256 * 500 * 32 * 9 * 12);
    return;
  }
  FAIL() << "the critic's first convolution is not among the cases";
}

TEST(KernelBenchTiming, BoundIsWhatTakesLongest) {
  BenchCase each{"linear_forward", "", DType::bf16, nullptr};
  each.read("x", {500}).multiply_adds(2000.0);
  const KernelCeilings ceilings{1e9, 1e9, 8e9, 0.25};
  EXPECT_EQ(bound_of(each, ceilings).name, "memory");
  EXPECT_DOUBLE_EQ(bound_of(each, ceilings).microseconds, 1.0);
  each.dtype = DType::f32;  // the operands' bytes stay, the FLOPs are those of the slower units
  EXPECT_EQ(bound_of(each, ceilings).name, "arithmetic");
  EXPECT_DOUBLE_EQ(bound_of(each, ceilings).microseconds, 4.0);
  EXPECT_EQ(bound_of(each, {1e9, 1e9, 8e9, 5.0}).name, "launch");
  each.dtype = DType::bf16;
  each.arithmetic(4000.0).product = false;  // no tensor core does these
  EXPECT_EQ(bound_of(each, ceilings).name, "arithmetic");
}

TEST(KernelBenchTiming, MeasuresTheCeilingsAndACall) {
  Machine machine;
  if (!machine.device.backend) CARDIOGRAD_WITHOUT_DEVICE(machine.reason);
  EXPECT_GT(machine.device.cache, 0U);
  EXPECT_NE(machine.device.name, "");
  KernelTimer timer(machine.device, 3);
  const KernelCeilings ceilings = KernelCeilings::measure(timer, small_sizes());
  EXPECT_GT(ceilings.copy, 0.0);
  EXPECT_GT(ceilings.product_f32, 0.0);
  EXPECT_GT(ceilings.product_bf16, 0.0);
  EXPECT_GT(ceilings.launch_microseconds, 0.0);
  const KernelTime time = timer.time(launch_ceiling_case());
  EXPECT_GT(time.microseconds, 0.0);
  EXPECT_GE(time.rounds, 1);
  EXPECT_LE(time.rounds, 3);
  EXPECT_EQ(time.copies, 64);  // of four bytes: as many as there may be
  EXPECT_EQ(time.calls, 64);
}

TEST(KernelBenchTiming, CopiesOfTheOperandsAreAlike) {
  Machine machine;
  if (!machine.device.backend) CARDIOGRAD_WITHOUT_DEVICE(machine.reason);
  BenchCase each{"quantize", "", DType::f32, nullptr};
  each.read("x", {100}, 2.0, 3.0).other({"i", BenchRole::read, DType::i32, {100}, 0.0, 7.0});
  const BenchOperands operands(*machine.device.backend, each, 3);
  EXPECT_EQ(operands.copies(), 3);
  for (int copy = 0; copy < 3; ++copy) {
    std::vector<float> x(100);
    std::vector<std::int32_t> whole(100);
    machine.device.backend->copy_to_host(x.data(), operands[copy]["x"].data, 400);
    machine.device.backend->copy_to_host(whole.data(), operands[copy]["i"].data, 400);
    EXPECT_GE(*std::min_element(x.begin(), x.end()), 2.0F);
    EXPECT_LT(*std::max_element(x.begin(), x.end()), 3.0F);
    EXPECT_EQ(*std::min_element(whole.begin(), whole.end()), 0);
    EXPECT_EQ(*std::max_element(whole.begin(), whole.end()), 6);
  }
  EXPECT_NE(operands[0]["x"].data, operands[1]["x"].data);
  EXPECT_THROW(operands[0]["y"], InputError);
}

TEST(KernelBenchTiming, OnlyAGpuHasKernels) {
  for (const char* device : {"cpu", "gpu", "cuda:", "cuda:x", "cuda:-1"}) {
    try {
      make_timed_device(device);
      ADD_FAILURE() << device;
    } catch (const InputError& error) {
      EXPECT_EQ(std::string(error.what()), "device \"" + std::string(device) +
                                               "\" has no kernels to time: use \"cuda\" or "
                                               "\"cuda:N\"");
    }
  }
}

}  // namespace
}  // namespace cardiograd
