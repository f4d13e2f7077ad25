// cardiograd bench: training steps a second, and the share of this CPU's arithmetic peak; or the
// cost of augmented batches.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/cpu/peak.h"
#include "kernels/threads.h"
#include "models/registry.h"
#include "nn/flat_parameters.h"
#include "nn/flop_meter.h"
#include "nn/ops.h"
#include "nn/optimizer.h"
#include "nn/random.h"
#include "tools/bench_augment.h"
#include "tools/verbs.h"

namespace cardiograd {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::string device = "cpu";
  std::int64_t batch = 256;
  int threads = 0;
  int steps = 10;
  int rounds = 5;
  bool json = false;
  bool augment = false;
};

// A model, its optimizer (RMSprop, the seed's) and one batch of random records.
class BenchStep {
 public:
  BenchStep(const std::shared_ptr<Backend>& backend, const BenchOptions& options) {
    TorchGenerator random(0);
    const ModelEntry& entry = find_model(options.model.name);
    model_ = entry.make({backend, DType::f32, &random}, options.model);
    parameters_ = std::make_unique<FlatParameters>(*model_);
    OptimizerOptions spec = optimizer_defaults("rmsprop");
    spec.lr = 1e-4;
    optimizer_ = std::make_unique<Optimizer>(spec, *parameters_);
    const auto normal = [&](const Dims& dims, float std) {
      return Tensor::from_host<float>(backend, dims, DType::f32,
                                      random.normal(dims.numel(), 0.0F, std));
    };
    const ModelOptions& m = options.model;
    if (entry.reads_signal) inputs_.signal = normal({options.batch, m.length, m.leads}, 0.25F);
    if (entry.reads_notes) inputs_.notes = normal({options.batch, m.note_size}, 0.036F);
    std::vector<float> labels = random.uniform(options.batch * m.classes, 0.0F, 1.0F);
    for (float& label : labels) label = label < 0.25F ? 1.0F : 0.0F;
    targets_ = Tensor::from_host<float>(backend, {options.batch, m.classes}, DType::f32, labels);
  }

  void run() {
    const RandomScope random(0, 1);
    parameters_->zero_grad();
    bce_with_logits(model_->forward(inputs_), targets_).backward();
    optimizer_->step();
  }

 private:
  std::unique_ptr<Classifier> model_;
  std::unique_ptr<FlatParameters> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  ModelInputs inputs_;
  Tensor targets_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

void bench(const BenchOptions& options) {
  if (options.threads > 0) limit_threads(options.threads);
  if (options.augment) {
    bench_augment({options.device, options.batch, options.model.length, options.steps,
                   options.rounds, options.json});
    return;
  }
  const int threads = thread_limit();
  const std::shared_ptr<Backend> backend = make_backend(options.device);
  BenchStep step(backend, options);
  double flops = 0.0;
  {
    const FlopMeter meter;
    step.run();
    flops = meter.flops();
  }
  for (int i = 0; i < 3; ++i) step.run();
  const double peak = measure_cpu_peak(threads);
  std::vector<double> rates;
  for (int round = 0; round < options.rounds; ++round) {
    backend->synchronize();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < options.steps; ++i) step.run();
    backend->synchronize();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    rates.push_back(static_cast<double>(options.batch * options.steps) / seconds);
  }
  const double rate = median(rates);
  const double achieved = flops * rate / static_cast<double>(options.batch);
  if (options.json) {
    const nlohmann::ordered_json report{{"model", options.model.name},
                                        {"device", backend->name()},
                                        {"batch_size", options.batch},
                                        {"threads", threads},
                                        {"samples_per_second", rate},
                                        {"rounds", rates},
                                        {"flops_per_sample", flops / options.batch},
                                        {"gflops", achieved / 1e9},
                                        {"peak_gflops", peak / 1e9},
                                        {"share_of_peak", achieved / peak}};
    std::printf("%s\n", report.dump().c_str());
    return;
  }
  std::printf(
      "%s, batch %lld, %d thread(s) on %s: %.0f samples/s (median of %d rounds of %d steps)\n",
      options.model.name.c_str(), static_cast<long long>(options.batch), threads,
      backend->name().c_str(), rate, options.rounds, options.steps);
  std::printf("%.1f MFLOP a sample, %.0f GFLOP/s, %.0f %% of the measured peak of %.0f GFLOP/s\n",
              flops / static_cast<double>(options.batch) / 1e6, achieved / 1e9,
              100.0 * achieved / peak, peak / 1e9);
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* verb = app.add_subcommand("bench", "Time training steps of a model");
  verb->add_option("--model", options->model.name, "A model's name")->capture_default_str();
  verb->add_option("--device", options->device, "cpu, cuda or cuda:N")->capture_default_str();
  verb->add_option("--batch", options->batch, "Records a step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--length", options->model.length, "Samples a record")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--dropout", options->model.dropout, "The model's dropout")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  verb->add_option("--threads", options->threads, "CPU threads; 0: one a core")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb->add_option("--steps", options->steps, "Steps a round")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--rounds", options->rounds, "Rounds; the median counts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_flag("--augment", options->augment,
                 "Time the making of augmented batches instead of a model");
  verb->add_flag("--json", options->json, "Print one JSON object and nothing else");
  verb->callback([options] { bench(*options); });
}

}  // namespace cardiograd
