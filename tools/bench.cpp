// cardiograd bench: training steps a second, and the share of this CPU's arithmetic peak; or the
// cost of augmented batches, or the time of each kernel on a GPU.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cpu/peak.h"
#include "kernels/threads.h"
#include "models/registry.h"
#include "nn/flat_parameters.h"
#include "nn/flop_meter.h"
#include "nn/layer_scope.h"
#include "nn/ops.h"
#include "nn/optimizer.h"
#include "nn/profile.h"
#include "nn/random.h"
#include "nn/replayed_step.h"
#include "tools/bench_augment.h"
#include "tools/bench_kernels.h"
#include "tools/verbs.h"
#include "trainer/profile_report.h"

namespace cardiograd {
namespace {

struct BenchOptions {
  ModelOptions model;
  std::string device = "cpu";
  std::string precision = "fp32";
  std::int64_t batch = 256;
  int threads = 0;
  int steps = 10;
  int rounds = 5;
  BenchJson json;
  bool augment = false;
  bool eager = false;
  bool profile = false;
};

// A model, its optimizer (RMSprop, the seed's) and one batch of random records, which is on the
// device from the beginning.
class BenchStep {
 public:
  BenchStep(const std::shared_ptr<Backend>& backend, const BenchOptions& options) {
    TorchGenerator random(0);
    const DType dtype = options.precision == "bf16" ? DType::bf16 : DType::f32;
    const ModelEntry& entry = find_model(options.model.name);
    model_ = entry.make({backend, dtype, &random}, options.model);
    parameters_ = std::make_unique<FlatParameters>(*model_);
    OptimizerOptions spec = optimizer_defaults("rmsprop");
    spec.lr = 1e-4;
    optimizer_ = std::make_unique<Optimizer>(spec, *parameters_);
    const auto normal = [&](const Dims& dims, float std) {
      return Tensor::from_host<float>(backend, dims, dtype, random.normal(dims.numel(), 0.0F, std));
    };
    const ModelOptions& m = options.model;
    if (entry.reads_signal) inputs_.signal = normal({options.batch, m.length, m.leads}, 0.25F);
    if (entry.reads_notes) inputs_.notes = normal({options.batch, m.note_size}, 0.036F);
    std::vector<float> labels = random.uniform(options.batch * m.classes, 0.0F, 1.0F);
    for (float& label : labels) label = label < 0.25F ? 1.0F : 0.0F;
    targets_ = Tensor::from_host<float>(backend, {options.batch, m.classes}, DType::f32, labels);
    step_ = std::make_unique<ReplayedStep>(
        backend, [this](const ReplayedStep::Inputs& inputs) { return train(inputs); },
        ReplayedStep::Options{.replays = !options.eager},
        [](const std::string& remark) {
          std::fprintf(stderr, "cardiograd bench: %s\n", remark.c_str());
        });
  }

  void run() {
    optimizer_->begin_step();
    (*step_)({inputs_.signal, inputs_.notes, targets_}, 1);
  }
  // Whether steps are replayed, rather than done operation by operation.
  bool replayed() const { return step_->replayed(); }

 private:
  Tensor train(const ReplayedStep::Inputs& inputs) {
    const RandomScope random(0, 1);
    parameters_->zero_grad();
    const Tensor loss = loss_of(inputs);
    loss.backward();
    optimizer_->update();
    return loss.detach();
  }

  Tensor loss_of(const ReplayedStep::Inputs& inputs) const {
    const PassScope pass(Pass::forward);
    const Tensor logits = cast(model_->forward({inputs[0], inputs[1]}), DType::f32);
    return bce_with_logits(logits, inputs[2]);
  }

  std::unique_ptr<Classifier> model_;
  std::unique_ptr<FlatParameters> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  ModelInputs inputs_;
  Tensor targets_;
  std::unique_ptr<ReplayedStep> step_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

// Records a second, of each round.
std::vector<double> time_rounds(BenchStep& step, Backend& backend, const BenchOptions& options) {
  std::vector<double> rates;
  for (int round = 0; round < options.rounds; ++round) {
    backend.synchronize();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < options.steps; ++i) step.run();
    backend.synchronize();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    rates.push_back(static_cast<double>(options.batch * options.steps) / seconds);
  }
  return rates;
}

// As many steps as are benchmarked, one operation at a time.
ProfileReport profile_steps(const std::shared_ptr<Backend>& device, const BenchOptions& options) {
  const auto [profile, backend] = profiled(device);
  BenchStep step(backend, options);
  for (std::int64_t i = 0; i < Profile::first_steps + options.rounds * options.steps; ++i) {
    profile->begin_step();
    step.run();
    profile->end_step();
  }
  return profile->report();
}

void print_profile(const ProfileReport& report, double step_microseconds, bool replayed) {
  std::printf("\n%sWithout timing its operations%s, a step takes %.3f ms: %+.1f %% with it.\n",
              profile_table(report).c_str(), replayed ? " and replayed" : "",
              step_microseconds / 1e3,
              100.0 * (report.step_microseconds / step_microseconds - 1.0));
}

void bench(const BenchOptions& options) {
  if (options.threads > 0) limit_threads(options.threads);
  if (options.augment) {
    bench_augment({options.device, options.batch, options.model.length, options.steps,
                   options.rounds, options.json});
    return;
  }
  if (options.precision != "fp32" && options.device == "cpu") {
    throw InputError("--precision " + options.precision +
                     " needs a CUDA device: name it by --device cuda");
  }
  const int threads = thread_limit();
  BackendOptions wanted;
  wanted.tf32 = options.precision == "tf32";
  const std::shared_ptr<Backend> backend = make_backend(options.device, wanted);
  BenchStep step(backend, options);
  double flops = 0.0;
  {
    const FlopMeter meter;
    step.run();
    flops = meter.flops();
  }
  for (int i = 0; i < 3; ++i) step.run();
  // Of a GPU, --kernels measures the peaks.
  const double peak = backend->name() == "cpu" ? measure_cpu_peak(threads) : 0.0;
  const std::vector<double> rates = time_rounds(step, *backend, options);
  const double rate = median(rates);
  const double achieved = flops * rate / static_cast<double>(options.batch);
  nlohmann::ordered_json report{{"model", options.model.name},
                                {"device", backend->name()},
                                {"precision", options.precision},
                                {"replayed", step.replayed()},
                                {"batch_size", options.batch},
                                {"threads", threads},
                                {"samples_per_second", rate},
                                {"rounds", rates},
                                {"flops_per_sample", flops / options.batch},
                                {"gflops", achieved / 1e9},
                                {"peak_gflops", peak / 1e9},
                                {"share_of_peak", peak > 0.0 ? achieved / peak : 0.0}};
  std::optional<ProfileReport> profile;
  if (options.profile) {
    profile = profile_steps(backend, options);
    report["profile"] = profile_json(*profile);
  }
  options.json.give(report);
  if (options.json.alone()) return;
  std::printf(
      "%s in %s, batch %lld, %d thread(s) on %s: %.0f samples/s (median of %d rounds of %d "
      "steps%s)\n",
      options.model.name.c_str(), options.precision.c_str(), static_cast<long long>(options.batch),
      threads, backend->name().c_str(), rate, options.rounds, options.steps,
      step.replayed() ? ", replayed" : "");
  std::printf("%.1f MFLOP a sample, %.0f GFLOP/s", flops / static_cast<double>(options.batch) / 1e6,
              achieved / 1e9);
  if (peak > 0.0) {
    std::printf(", %.0f %% of the measured peak of %.0f GFLOP/s", 100.0 * achieved / peak,
                peak / 1e9);
  }
  std::printf("\n");
  if (profile)
    print_profile(*profile, 1e6 * static_cast<double>(options.batch) / rate, step.replayed());
}

}  // namespace

void add_bench(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  auto kernels = std::make_shared<KernelBench>();
  CLI::App* verb = app.add_subcommand(
      "bench", "Time training steps of a model, augmented batches, or a GPU's kernels");
  verb->add_option("--model", options->model.name, "A model's name")->capture_default_str();
  CLI::Option* device =
      verb->add_option("--device", options->device, "cpu, cuda or cuda:N; with --kernels: cuda")
          ->capture_default_str();
  verb->add_option("--precision", options->precision, "fp32; on a GPU also tf32, bf16")
      ->check(CLI::IsMember({"fp32", "tf32", "bf16"}))
      ->capture_default_str();
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
  CLI::Option* rounds =
      verb->add_option("--rounds", options->rounds, "Rounds; the median counts; with --kernels: 25")
          ->check(CLI::PositiveNumber)
          ->capture_default_str();
  verb->add_flag("--eager", options->eager,
                 "Ask a GPU for each operation of each step, instead of replaying a recorded step");
  CLI::Option* augment = verb->add_flag("--augment", options->augment,
                                        "Time the making of augmented batches instead of a model");
  verb->add_flag("--profile", options->profile,
                 "Then as many steps again, with the time of each operation: by layer and pass, "
                 "on the device's clock; with --json under \"profile\"")
      ->excludes(augment);
  const std::string kernels_help =
      "Time each operation's CUDA kernels instead of a model, in f32 and bf16, against the copies "
      "and matrix products that the GPU was found to do";
  CLI::Option* times_kernels = verb->add_flag("--kernels", kernels_help);
  for (const char* other : {"--model", "--batch", "--length", "--dropout", "--threads", "--steps",
                            "--augment", "--precision", "--profile"}) {
    times_kernels->excludes(other);
  }
  verb->add_option("--filter", kernels->filter,
                   "With --kernels: only the lines \"operation dtype shape\" with this text")
      ->needs(times_kernels);
  CLI::Option* json =
      verb->add_option("--json", options->json.file,
                       "Print one JSON object and nothing else; with a FILE, write it there too")
          ->type_name("[FILE]")
          ->expected(0, 1);
  verb->callback([=] {
    options->json.wanted = json->count() > 0;
    if (times_kernels->count() == 0) {
      bench(*options);
      return;
    }
    if (device->count() > 0) kernels->device = options->device;
    if (rounds->count() > 0) kernels->rounds = options->rounds;
    kernels->json = options->json;
    bench_kernels(*kernels);
  });
}

}  // namespace cardiograd
