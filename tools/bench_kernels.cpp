#include "tools/bench_kernels.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "kernels/text.h"
#include "tools/bench_kernel_timing.h"

namespace cardiograd {
namespace {

// What an H200 gives to those who tune for it: docs/kernels.md.
constexpr double known_copy = 4.3e12;          // bytes/s
constexpr double known_product_bf16 = 790e12;  // FLOP/s

std::vector<BenchCase> chosen_cases(const std::string& filter) {
  std::vector<BenchCase> chosen;
  std::set<std::string> operations;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (BenchCase& each : bench_kernel_cases(dtype, {})) {
      operations.insert(each.operation);
      const std::string line =
          each.operation + " " + std::string(name_of(each.dtype)) + " " + each.shape;
      if (line.find(filter) != std::string::npos) chosen.push_back(std::move(each));
    }
  }
  if (chosen.empty()) {
    throw InputError("no kernel benchmark has " + quote(filter) + " in its line" +
                     suggestion(filter, {operations.begin(), operations.end()}));
  }
  return chosen;
}

void print_ceilings(const KernelCeilings& ceilings) {
  std::printf(
      "copy %.2f TB/s (an H200: %.1f), products %.1f TFLOP/s in f32, %.1f in bf16 "
      "(an H200: %.0f), shortest call %.2f us\n\n",
      ceilings.copy / 1e12, known_copy / 1e12, ceilings.product_f32 / 1e12,
      ceilings.product_bf16 / 1e12, known_product_bf16 / 1e12, ceilings.launch_microseconds);
  std::printf("%-29s %-5s %10s %8s %8s %-10s %6s  %s\n", "operation", "dtype", "us", "GB/s",
              "TFLOP/s", "bound", "share", "shape");
}

nlohmann::ordered_json report_of(const KernelCeilings& ceilings) {
  return {{"copy_bytes_per_second", ceilings.copy},
          {"product_f32_flops_per_second", ceilings.product_f32},
          {"product_bf16_flops_per_second", ceilings.product_bf16},
          {"launch_microseconds", ceilings.launch_microseconds},
          {"known_copy_bytes_per_second", known_copy},
          {"known_product_bf16_flops_per_second", known_product_bf16}};
}

// One line of the table, and the same for the report.
nlohmann::ordered_json time_case(KernelTimer& timer, const BenchCase& each,
                                 const KernelCeilings& ceilings, bool prints) {
  const KernelTime time = timer.time(each);
  const KernelBound bound = bound_of(each, ceilings);
  const double seconds = 1e-6 * time.microseconds;
  const double share = bound.microseconds / time.microseconds;
  const std::string dtype(name_of(each.dtype));
  if (prints) {
    std::printf("%-29s %-5s %10.2f %8.0f %8.2f %-10s %4.0f %%  %s\n", each.operation.c_str(),
                dtype.c_str(), time.microseconds, each.bytes() / seconds / 1e9,
                each.flops / seconds / 1e12, bound.name.c_str(), 100.0 * share, each.shape.c_str());
    std::fflush(stdout);
  }
  return {{"operation", each.operation},
          {"dtype", dtype},
          {"shape", each.shape},
          {"microseconds", time.microseconds},
          {"bytes", each.bytes()},
          {"flops", each.flops},
          {"bytes_per_second", each.bytes() / seconds},
          {"flops_per_second", each.flops / seconds},
          {"bound", bound.name},
          {"bound_microseconds", bound.microseconds},
          {"share", share},
          {"rounds", time.rounds},
          {"calls_a_round", time.calls},
          {"operand_copies", time.copies}};
}

}  // namespace

void bench_kernels(const KernelBench& options) {
  const std::vector<BenchCase> cases = chosen_cases(options.filter);
  const TimedDevice device = make_timed_device(options.device);
  KernelTimer timer(device, options.rounds);
  const bool prints = !options.json.alone();
  if (prints) {
    std::printf("%s (%s), medians of at most %d rounds\n", device.name.c_str(),
                built_backends().c_str(), options.rounds);
  }
  const KernelCeilings ceilings = KernelCeilings::measure(timer, {});
  if (prints) print_ceilings(ceilings);
  nlohmann::ordered_json report{{"device", device.name},
                                {"backends", built_backends()},
                                {"cache_bytes", device.cache},
                                {"ceilings", report_of(ceilings)},
                                {"kernels", nlohmann::ordered_json::array()}};
  for (const BenchCase& each : cases) {
    report["kernels"].push_back(time_case(timer, each, ceilings, prints));
  }
  options.json.give(report);
}

}  // namespace cardiograd
