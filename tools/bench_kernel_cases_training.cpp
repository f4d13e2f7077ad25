// Normalisation, loss, optimizer, the gathering of batches and denoising.
#include "tools/bench_kernel_case.h"

namespace cardiograd {
namespace {

constexpr std::int64_t leads = 12;
constexpr std::int64_t width = 120;  // of the transformer
constexpr std::int64_t token_stride = 4;

double count(const Dims& dims) { return static_cast<double>(dims.numel()); }

// A statistic is f32, whatever the storage.
BenchOperand statistic(std::string name, BenchRole role, const Dims& dims) {
  return {std::move(name), role, DType::f32, dims, 0.5, 1.5};
}

// What may come with BatchNorm in the same pass.
struct Fusion {
  bool relu = false;
  bool residual = false;

  std::string text(const Dims& x) const {
    return x.to_string() + (residual ? " + residual" : "") + (relu ? ", ReLU" : "");
  }
};

void add_batch_norm_forward(std::vector<BenchCase>& cases, DType dtype, const Dims& x,
                            const Fusion& fusion, bool training) {
  const BatchNormSpec spec{1e-5, 0.1, fusion.relu};
  const Dims channels{x[-1]};
  const BenchRole running = training ? BenchRole::updated : BenchRole::read;
  BenchCase& each = cases.emplace_back(
      training ? "batch_norm_training_forward" : "batch_norm_inference_forward", fusion.text(x),
      dtype, [=](Backend& b, const BenchViews& o) {
        const View residual = fusion.residual ? o["residual"] : View{};
        if (training) {
          b.batch_norm_training_forward(spec, o["x"], o["gamma"], o["beta"], residual,
                                        o["running_mean"], o["running_var"], o["y"], o["mean"],
                                        o["inv_std"]);
        } else {
          b.batch_norm_inference_forward(spec, o["x"], o["gamma"], o["beta"], residual,
                                         o["running_mean"], o["running_var"], o["y"]);
        }
      });
  each.read("x", x);
  if (training) each.twice();
  each.read("gamma", channels)
      .read("beta", channels)
      .other(statistic("running_mean", running, channels))
      .other(statistic("running_var", running, channels))
      .written("y", x)
      .arithmetic((training ? 7.0 : 3.0) * count(x));
  if (fusion.residual) each.read("residual", x);
  if (training) {
    each.other(statistic("mean", BenchRole::written, channels))
        .other(statistic("inv_std", BenchRole::written, channels));
  }
}

void add_batch_norm_backward(std::vector<BenchCase>& cases, DType dtype, const Dims& x,
                             const Fusion& fusion, bool training) {
  const BatchNormSpec spec{1e-5, 0.1, fusion.relu};
  const Dims channels{x[-1]};
  BenchCase& each = cases.emplace_back(
      training ? "batch_norm_training_backward" : "batch_norm_inference_backward", fusion.text(x),
      dtype, [=](Backend& b, const BenchViews& o) {
        const View y = fusion.relu ? o["y"] : View{};
        const View dresidual = fusion.residual ? o["dresidual"] : View{};
        const auto backward = [&](auto method) {
          (b.*method)(spec, o["x"], o["gamma"], o["mean"], o["spread"], y, o["dy"], o["dx"],
                      dresidual, o["dgamma"], o["dbeta"]);
        };
        backward(training ? &Backend::batch_norm_training_backward
                          : &Backend::batch_norm_inference_backward);
      });
  each.read("x", x);
  if (training) each.twice();
  each.read("gamma", channels)
      .other(statistic("mean", BenchRole::read, channels))
      .other(statistic("spread", BenchRole::read, channels))  // inv_std, or the running variance
      .read("dy", x);
  if (training) each.twice();
  each.written("dx", x)
      .written("dgamma", channels)
      .written("dbeta", channels)
      .arithmetic(9.0 * count(x));
  if (fusion.relu) each.read("y", x);
  if (fusion.residual) each.written("dresidual", x);
}

void add_layer_norm(std::vector<BenchCase>& cases, DType dtype, const Dims& x) {
  constexpr double eps = 1e-5;
  const Dims channels{x[1]};
  const Dims rows{x[0]};
  cases
      .emplace_back("layer_norm_forward", x.to_string(), dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.layer_norm_forward(o["x"], o["gamma"], o["beta"], eps, o["y"], o["mean"],
                                           o["inv_std"]);
                    })
      .read("x", x)
      .read("gamma", channels)
      .read("beta", channels)
      .written("y", x)
      .other(statistic("mean", BenchRole::written, rows))
      .other(statistic("inv_std", BenchRole::written, rows))
      .arithmetic(8.0 * count(x));
  cases
      .emplace_back("layer_norm_backward", x.to_string(), dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.layer_norm_backward(o["x"], o["gamma"], o["mean"], o["inv_std"], o["dy"],
                                            o["dx"], o["dgamma"], o["dbeta"]);
                    })
      .read("x", x)
      .read("gamma", channels)
      .other(statistic("mean", BenchRole::read, rows))
      .other(statistic("inv_std", BenchRole::read, rows))
      .read("dy", x)
      .written("dx", x)
      .written("dgamma", channels)
      .written("dbeta", channels)
      .arithmetic(12.0 * count(x));
}

void add_loss(std::vector<BenchCase>& cases, DType dtype, const Dims& logits) {
  BceSpec focal;
  focal.gamma_positive = focal.gamma_negative = 2.0;
  for (const auto& [spec, text] : {std::pair{BceSpec{}, ""}, std::pair{focal, "focal "}}) {
    cases
        .emplace_back("bce_with_logits", text + logits.to_string(), dtype,
                      [spec = spec](Backend& b, const BenchViews& o) {
                        b.bce_with_logits(spec, o["logits"], o["targets"], ConstView{}, o["loss"],
                                          o["dlogits"]);
                      })
        .read("logits", logits)
        .read("targets", logits, 0.0)
        .written("loss", {1})
        .written("dlogits", logits)
        .arithmetic((spec.focuses() ? 80.0 : 30.0) * count(logits));
  }
}

// The forms of a step that the kernels tell apart; FLOPs an element as docs/kernels.md has them.
struct OptimizerForm {
  std::string text;
  OptimizerSpec spec;
  double flops = 0.0;
  bool average = false;
};

std::vector<OptimizerForm> optimizer_forms() {
  OptimizerSpec momentum;
  momentum.momentum = 0.9;
  OptimizerSpec rmsprop;
  rmsprop.kind = OptimizerKind::rmsprop;
  OptimizerSpec adamw;
  adamw.kind = OptimizerKind::adamw;
  adamw.weight_decay = 0.01;
  return {{"sgd with momentum", momentum, 7.0},
          {"rmsprop", rmsprop, 10.0},
          {"adamw", adamw, 16.0},
          {"adamw, averaged", adamw, 19.0, true}};
}

void add_optimizer(std::vector<BenchCase>& cases, DType dtype, std::int64_t parameters) {
  const bool rounds = dtype == DType::bf16;  // a model in bf16 has its parameters rounded as well
  const Dims size{parameters};
  cases
      .emplace_back("gradient_norm", size.to_string(), dtype,
                    [](Backend& b, const BenchViews& o) {
                      b.gradient_norm(o["gradients"], 1.0, o["norm"], o["factor"]);
                    })
      .read("gradients", size)
      .other(statistic("norm", BenchRole::written, {1}))
      .other(statistic("factor", BenchRole::written, {1}))
      .arithmetic(2.0 * count(size));
  for (const OptimizerForm& form : optimizer_forms()) {
    const std::vector<std::string> states = form.spec.state_names();
    BenchCase& each = cases.emplace_back(
        "optimizer_step", form.text + " " + size.to_string(), dtype,
        [=, average = form.average, spec = form.spec](Backend& b, const BenchViews& o) {
          OptimizerOperands x{o["gradients"],
                              o["factor"],
                              o["schedule"],
                              {},
                              o["parameters"],
                              {},
                              average ? o["average"] : View{},
                              rounds ? o["rounded"] : View{}};
          for (const std::string& state : states) x.states.push_back(o[state]);
          b.optimizer_step(spec, x);
        });
    each.read("gradients", size)
        .other(statistic("factor", BenchRole::read, {1}))
        .other({"schedule", BenchRole::read, DType::f64, {4}, 0.5, 0.5})
        .other({"parameters", BenchRole::updated, DType::f32, size})
        .arithmetic(form.flops * count(size));
    for (const std::string& state : states) {
      each.other(statistic(state, BenchRole::updated, size));
    }
    if (form.average) each.other({"average", BenchRole::updated, DType::f32, size});
    if (rounds) each.written("rounded", size);
  }
}

AugmentSpec seed_augment() {
  AugmentSpec spec;
  spec.seed = 1;
  spec.noise = 0.01;
  spec.mask = 0.3;
  return spec;
}

AugmentSpec full_augment() {
  AugmentSpec spec = seed_augment();
  spec.mask = spec.amplitude = spec.wander = spec.hum = spec.shift = 1.0;
  spec.shift_most = 5;
  spec.amplitude_low = 0.8;
  spec.amplitude_high = 1.2;
  spec.wander_mv = spec.hum_mv = 0.1;
  spec.lead_dropout = 0.1;
  return spec;
}

void add_gather(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes,
                std::int64_t batch, const std::string& text, const AugmentSpec& augment) {
  const GatherSpec spec{0.0, augment};
  const Dims y{batch, sizes.length, leads};
  BenchCase& each = cases.emplace_back(
      "gather_records", text + " " + y.to_string() + " of " + std::to_string(sizes.records), dtype,
      [=](Backend& b, const BenchViews& o) {
        b.gather_records(spec,
                         {o["records"], o["rows"], o["scale"], o["shift"], o["gain"], ConstView{},
                          ConstView{}, ConstView{}},
                         o["y"]);
      });
  each.other({"records",
              BenchRole::read,
              DType::i16,
              {sizes.records, sizes.length, leads},
              -2000.0,
              2000.0})
      .other(
          {"rows", BenchRole::read, DType::i32, {batch}, 0.0, static_cast<double>(sizes.records)})
      .other({"scale", BenchRole::read, DType::f32, {leads}, 0.001, 0.002})
      .other({"shift", BenchRole::read, DType::f32, {leads}})
      .other({"gain", BenchRole::read, DType::f32, {leads}, 500.0, 1000.0})
      .written("y", y)
      .arithmetic((augment.noise > 0.0 ? 70.0 : 2.0) * count(y));
  each.traffic =
      count(y) * static_cast<double>(size_of(DType::i16) + size_of(dtype));  // of the rows alone
}

void add_denoising(std::vector<BenchCase>& cases, DType dtype, const Dims& x) {
  const WaveletDenoiseSpec spec;
  constexpr double taps = 8.0;  // of db4
  // Analysis and synthesis of all levels are about two of the finest one; 31 counts of the median.
  cases
      .emplace_back(
          "wavelet_denoise", "db4 " + x.to_string(), dtype,
          [=](Backend& b, const BenchViews& o) { b.wavelet_denoise(spec, o["x"], o["y"]); })
      .read("x", x)
      .written("y", x)
      .arithmetic((8.0 * taps + 16.0) * count(x));
}

}  // namespace

void add_normalisation_bench_cases(std::vector<BenchCase>& cases, DType dtype,
                                   const BenchSizes& sizes) {
  const std::vector<std::pair<Dims, Fusion>> norms{
      {{sizes.batch, sizes.length - 6, 16}, {true, false}},
      {{sizes.batch, sizes.length, 64}, {false, false}},
      {{sizes.batch, sizes.length, 64}, {true, true}}};
  for (const auto& [x, fusion] : norms) {
    for (const bool training : {true, false}) {
      add_batch_norm_forward(cases, dtype, x, fusion, training);
      add_batch_norm_backward(cases, dtype, x, fusion, training);
    }
  }
  add_layer_norm(cases, dtype, {sizes.batch * (sizes.length / token_stride), width});
  add_layer_norm(cases, dtype, {sizes.large_batch, 128});
  add_layer_norm(cases, dtype, {sizes.batch, 768});
}

void add_training_bench_cases(std::vector<BenchCase>& cases, DType dtype, const BenchSizes& sizes) {
  add_loss(cases, dtype, {sizes.batch, 5});
  add_loss(cases, dtype, {sizes.large_batch, 71});  // every statement of PTB-XL
  add_optimizer(cases, dtype, sizes.parameters);
  for (const std::int64_t batch : {sizes.batch, sizes.large_batch}) {
    add_gather(cases, dtype, sizes, batch, "plain", {});
    add_gather(cases, dtype, sizes, batch, "noise and masks", seed_augment());
  }
  add_gather(cases, dtype, sizes, sizes.batch, "everything", full_augment());
  add_denoising(cases, dtype, {sizes.batch, sizes.length, leads});
}

}  // namespace cardiograd
