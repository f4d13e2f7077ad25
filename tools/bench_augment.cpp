#include "tools/bench_augment.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "kernels/threads.h"
#include "nn/random.h"
#include "nn/tensor.h"
#include "trainer/training_set.h"

namespace cardiograd {
namespace {

constexpr std::int64_t leads = 12;

// A batch of records in memory, and what gather_records reads besides.
class AugmentStep {
 public:
  AugmentStep(const std::shared_ptr<Backend>& backend, const AugmentBench& options)
      : backend_(backend) {
    const Dims dims{options.batch, options.length, leads};
    std::vector<std::int16_t> samples;
    TorchGenerator random(0);
    for (float value : random.normal(dims.numel(), 0.0F, 250.0F)) {
      samples.push_back(static_cast<std::int16_t>(value));
    }
    std::vector<std::int32_t> rows(static_cast<std::size_t>(options.batch));
    std::iota(rows.begin(), rows.end(), 0);
    records_ = Tensor::from_host<std::int16_t>(backend, dims, DType::i16, samples);
    rows_ = Tensor::from_host<std::int32_t>(backend, {options.batch}, DType::i32, rows);
    std::reverse(rows.begin(), rows.end());
    partners_ = Tensor::from_host<std::int32_t>(backend, {options.batch}, DType::i32, rows);
    shares_ = Tensor::from_host<float>(backend, {options.batch}, DType::f32,
                                       std::vector<float>(rows.size(), 0.75F));
    const auto constant = [&](float value) {
      return Tensor::from_host<float>(backend, {leads}, DType::f32,
                                      std::vector<float>(leads, value));
    };
    scale_ = constant(0.001F);
    shift_ = constant(0.0F);
    gain_ = constant(1000.0F);
    y_ = Tensor::empty(backend, dims, DType::f32);
  }

  void run(const AugmentSpec& augment) {
    GatherSpec spec{0.0, augment};
    spec.augment.epoch = ++epoch_;
    const bool mixes = augment.mixup > 0.0;
    backend_->gather_records(
        spec,
        {records_.view(), rows_.view(), scale_.view(), shift_.view(), gain_.view(), ConstView{},
         mixes ? partners_.view() : ConstView{}, mixes ? shares_.view() : ConstView{}},
        y_.view());
  }

 private:
  std::shared_ptr<Backend> backend_;
  Tensor records_, rows_, partners_, shares_, scale_, shift_, gain_, y_;
  std::uint32_t epoch_ = 0;
};

// Noise and masks as the seed has them, and every augmentation in every record.
RunConfig seed_config() {
  RunConfig config;
  config.augment.noise = 0.01;
  config.augment.mask = 0.3;
  return config;
}
RunConfig full_config() {
  RunConfig config = seed_config();
  RunConfig::Augment& augment = config.augment;
  augment.mask = augment.amplitude = augment.wander = augment.hum = augment.shift = 1.0;
  augment.lead_dropout = 0.1;
  augment.mixup = 0.2;
  return config;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2.0;
}

}  // namespace

void bench_augment(const AugmentBench& options) {
  const std::shared_ptr<Backend> backend = make_backend(options.device);
  AugmentStep step(backend, options);
  nlohmann::ordered_json report{{"device", backend->name()},
                                {"batch_size", options.batch},
                                {"length", options.length},
                                {"threads", thread_limit()}};
  const std::vector<std::pair<std::string, AugmentSpec>> sets{{"none", augment_spec(RunConfig())},
                                                              {"seed", augment_spec(seed_config())},
                                                              {"all", augment_spec(full_config())}};
  for (const auto& [name, spec] : sets) {
    for (int i = 0; i < 3; ++i) step.run(spec);
    std::vector<double> costs;
    for (int round = 0; round < options.rounds; ++round) {
      const auto begin = std::chrono::steady_clock::now();
      for (int i = 0; i < options.steps; ++i) step.run(spec);
      backend->synchronize();
      const std::chrono::duration<double, std::micro> elapsed =
          std::chrono::steady_clock::now() - begin;
      costs.push_back(elapsed.count() / static_cast<double>(options.steps * options.batch));
    }
    report["us_per_record"][name] = median(costs);
  }
  options.json.give(report);
  if (options.json.alone()) return;
  std::printf("batches of %lld x %lld x %lld, %d thread(s) on %s, median of %d rounds of %d\n",
              static_cast<long long>(options.batch), static_cast<long long>(options.length),
              static_cast<long long>(leads), thread_limit(), backend->name().c_str(),
              options.rounds, options.steps);
  for (const auto& [name, cost] : report["us_per_record"].items()) {
    std::printf("%-5s %7.2f us a record, %.0f records/s\n", name.c_str(), cost.get<double>(),
                1e6 / cost.get<double>());
  }
}

}  // namespace cardiograd
