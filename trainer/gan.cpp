#include "trainer/gan.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernels/text.h"
#include "models/seed_dcgan.h"
#include "nn/optimizer.h"
#include "nn/random.h"
#include "nn/state_dict.h"
#include "nn/tape.h"
#include "trainer/gan_report.h"
#include "trainer/run_folder.h"
#include "trainer/session.h"

namespace cardiograd {

namespace {

constexpr double dcgan_beta1 = 0.5;
// Numbers of the random operations, which no other draw of a GAN run uses.
constexpr std::uint32_t critic_noise = 0, generator_noise = 1, sample_noise = 2;

// What this loop does not do is refused, not passed over.
void check_config(const RunConfig& config) {
  if (config.data.inputs != std::vector<std::string>{"signal"}) {
    throw InputError("model \"dcgan\" makes signals: data.inputs must be [\"signal\"]");
  }
  const RunConfig defaults;
  const auto refuse = [](bool used, const char* key) {
    if (used) throw InputError(std::string("model \"dcgan\" trains without ") + key);
  };
  refuse(!(config.augment == defaults.augment), "augmentation: leave the section augment out");
  refuse(!config.data.undersample.empty(), "data.undersample");
  refuse(!config.train.init.empty(), "train.init");
  refuse(config.train.pos_weight != defaults.train.pos_weight, "train.pos_weight");
  refuse(!(config.loss == defaults.loss), "the section loss: it has its own");
  refuse(config.precision != "fp32", "a precision other than \"fp32\"");
  refuse(!(config.schedule == defaults.schedule), "the section schedule");
  refuse(config.train.accumulate != 1, "train.accumulate");
  refuse(config.train.ema != 0.0, "train.ema");
  refuse(config.train.decay != defaults.train.decay, "train.decay");
  refuse(!config.train.freeze.empty(), "train.freeze");
  refuse(config.train.early_stopping != 0, "train.early_stopping");
  refuse(config.train.on_nan != defaults.train.on_nan, "train.on_nan");
  refuse(config.run.checkpoint_epochs != 1, "run.checkpoint_epochs");
  refuse(config.run.checkpoint_steps != 0, "run.checkpoint_steps");
  refuse(config.run.checkpoint_minutes != 0.0, "run.checkpoint_minutes");
  refuse(config.run.keep != defaults.run.keep, "run.keep");
}

OptimizerOptions gan_optimizer(const RunConfig::Train& train) {
  OptimizerOptions spec = optimizer_spec(train);
  spec.beta1 = dcgan_beta1;
  return spec;
}

// Examples of the training folds that carry the class.
std::vector<std::int32_t> examples_with(const Session& session, const RunConfig& config) {
  const auto column =
      static_cast<std::size_t>(class_named(session.task, config.gan.class_name, "gan.class_name"));
  std::vector<std::int32_t> examples =
      examples_of(session, config.data.train_folds, "data.train_folds");
  std::erase_if(examples, [&](std::int32_t example) {
    return session.source->targets(example)[column] == 0.0F;
  });
  if (examples.empty()) {
    throw InputError("gan.class_name: the training folds of " + session.dataset->path().string() +
                     " have no record of class " + quote(config.gan.class_name));
  }
  return examples;
}

// A network with what trains it.
template <class Network>
struct Player {
  Player(const BuildContext& context, const DcganOptions& options, const OptimizerOptions& spec)
      : network(context, options), parameters(network), optimizer(spec, parameters) {}

  Network network;
  FlatParameters parameters;
  Optimizer optimizer;
};

class GanRun {
 public:
  GanRun(const RunConfig& config, bool quiet)
      : config_(config),
        session_(open_data(config)),
        examples_(examples_with(session_, config)),
        options_{packed_leads, session_.dataset->length(), config.gan.latent},
        random_(static_cast<std::uint64_t>(config.train.seed)),
        generator_({session_.backend, DType::f32, &random_}, options_, gan_optimizer(config.train)),
        critic_({session_.backend, DType::f32, &random_}, options_, gan_optimizer(config.train)),
        folder_(config.run.dir),
        progress_(quiet) {
    if (config.data.standardize == "lead") {
      standardisation_ = lead_statistics(*session_.dataset, session_.source->records_of(examples_));
      session_.source->set_standardisation(standardisation_);
    }
    write_file(folder_.path() / "config.toml", to_toml(config));
  }

  GanResult train() {
    announce();
    for (std::int64_t epoch = 1; epoch <= config_.train.epochs; ++epoch) train_epoch(epoch);
    const Tensor signal = generate();
    write_generated(folder_.path(), config_, *session_.dataset, signal);
    if (config_.run.plots) {
      const std::string problem =
          draw_gan_pictures(folder_.path(), config_, *session_.dataset, signal, curves_);
      if (!problem.empty()) progress_.finish("no pictures: " + problem);
    }
    return {static_cast<std::int64_t>(examples_.size()), critic_loss_, generator_loss_};
  }

 private:
  void announce() {
    progress_.finish("dcgan: generator of " + std::to_string(generator_.network.parameter_count()) +
                     " parameters against a critic of " +
                     std::to_string(critic_.network.parameter_count()) + ", " +
                     std::to_string(examples_.size()) + " records of " + config_.gan.class_name +
                     " to learn from, on " + session_.backend->name());
    folder_.log({{"event", "start"},
                 {"model", config_.model.name},
                 {"class", config_.gan.class_name},
                 {"generator_parameters", generator_.network.parameter_count()},
                 {"critic_parameters", critic_.network.parameter_count()},
                 {"device", session_.backend->name()},
                 {"train_records", examples_.size()}});
  }

  // Standard normal, drawn on the host.
  Tensor noise(std::int64_t batch, std::uint32_t step, std::uint32_t operation) const {
    const RandomKey key{static_cast<std::uint64_t>(config_.train.seed), step, operation};
    return standard_normal(session_.backend, generator_.network.noise_dims(batch), key);
  }

  // Binary cross-entropy of the critic's logits against "real" or "made".
  static Tensor judge(const Tensor& logits, bool real) {
    return bce_with_logits(
        logits, Tensor::full(logits.backend(), logits.dims(), logits.dtype(), real ? 1.0 : 0.0));
  }

  double critic_step(const Batch& batch) {
    Tensor made;
    {
      const NoGradScope no_grad;
      made = generator_.network(noise(batch.size, step_, critic_noise));
    }
    critic_.parameters.zero_grad();
    const Tensor loss =
        add(judge(critic_.network(batch.signal), true), judge(critic_.network(made), false));
    loss.backward();
    critic_.optimizer.step(config_.train.clip_norm);
    return loss.item();
  }

  // The critic's gradients that come along are cleared by its own step.
  double generator_step(const Batch& batch) {
    generator_.parameters.zero_grad();
    critic_.parameters.zero_grad();
    const Tensor made = generator_.network(noise(batch.size, step_, generator_noise));
    const Tensor loss = judge(critic_.network(made), true);
    loss.backward();
    generator_.optimizer.step(config_.train.clip_norm);
    return loss.item();
  }

  void train_epoch(std::int64_t epoch) {
    const std::string title =
        "epoch " + std::to_string(epoch) + "/" + std::to_string(config_.train.epochs);
    progress_.begin(title, static_cast<std::int64_t>(examples_.size()));
    BatchLoader loader(*session_.source,
                       shuffled(examples_, static_cast<std::uint64_t>(config_.train.seed),
                                static_cast<std::uint32_t>(epoch)),
                       config_.train.batch_size);
    double critic_sum = 0.0, generator_sum = 0.0;
    std::int64_t done = 0;
    for (Batch batch; loader.next(batch);) {
      ++step_;
      const double critic = critic_step(batch);
      const double generator = generator_step(batch);
      if (!std::isfinite(critic) || !std::isfinite(generator)) {
        throw Error("the loss became nan or infinite at step " + std::to_string(step_) +
                    " (epoch " + std::to_string(epoch) +
                    "): lower train.lr or set train.clip_norm");
      }
      log_step(epoch, critic, generator);
      const auto size = static_cast<double>(batch.size);
      critic_sum += critic * size;
      generator_sum += generator * size;
      done += batch.size;
      progress_.update(done, losses(critic, generator));
    }
    critic_loss_ = critic_sum / static_cast<double>(done);
    generator_loss_ = generator_sum / static_cast<double>(done);
    progress_.finish(title + "  " + losses(critic_loss_, generator_loss_));
    folder_.log({{"event", "epoch"},
                 {"epoch", epoch},
                 {"step", step_},
                 {"critic_loss", critic_loss_},
                 {"generator_loss", generator_loss_}});
    const Metadata metadata{{"format", "pt"}};
    save_state(folder_.path() / "generator.safetensors", state_dict(generator_.network), metadata);
    save_state(folder_.path() / "critic.safetensors", state_dict(critic_.network), metadata);
  }

  void log_step(std::int64_t epoch, double critic, double generator) {
    curves_.critic.push_back(critic);
    curves_.generator.push_back(generator);
    if (step_ % config_.run.log_every != 0) return;
    folder_.log({{"event", "step"},
                 {"step", step_},
                 {"epoch", epoch},
                 {"critic_loss", critic},
                 {"generator_loss", generator}});
  }

  static std::string losses(double critic, double generator) {
    char text[64];
    std::snprintf(text, sizeof text, "critic loss %.4f  generator loss %.4f", critic, generator);
    return text;
  }

  // [gan.samples, length, 12] in mV.
  Tensor generate() {
    const NoGradScope no_grad;
    generator_.network.eval();
    Tensor made = generator_.network(noise(config_.gan.samples, 0, sample_noise));
    if (standardisation_.mean.empty()) return made;
    const auto per_lead = [&](const std::vector<float>& values) {
      return Tensor::from_host<float>(session_.backend, {1, 1, packed_leads}, DType::f32, values);
    };
    return add(multiply(made, per_lead(standardisation_.std)), per_lead(standardisation_.mean));
  }

  RunConfig config_;
  Session session_;
  std::vector<std::int32_t> examples_;
  DcganOptions options_;
  TorchGenerator random_;
  Player<EcgGenerator> generator_;
  Player<EcgCritic> critic_;
  RunFolder folder_;
  Progress progress_;
  Standardisation standardisation_;
  GanCurves curves_;
  std::uint32_t step_ = 0;
  double critic_loss_ = 0.0;
  double generator_loss_ = 0.0;
};

}  // namespace

bool is_gan(const RunConfig& config) { return config.model.name == "dcgan"; }

GanResult fit_gan(const RunConfig& config, bool quiet) {
  check_config(config);
  return GanRun(config, quiet).train();
}

}  // namespace cardiograd
