// The run's configuration: TOML, typed, with every key known.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cardiograd {

struct BackendOptions;

struct RunConfig {
  struct Data {
    std::string path;
    std::int64_t rate = 100;
    std::string task = "superdiagnostic";
    std::vector<std::string> inputs{"signal"};
    std::vector<std::int64_t> train_folds{1, 2, 3, 4, 5, 6, 7, 8};
    std::vector<std::int64_t> valid_folds{9};
    std::vector<std::int64_t> test_folds{10};
    std::string standardize = "none";
    std::string notes;
    std::string undersample;
    std::string residency = "auto";

    bool operator==(const Data&) const = default;
  } data;
  struct Model {
    std::string name = "cnn";
    double dropout = 0.0;
    bool batch_norm = false;
    bool sync_batch_norm = false;
    std::int64_t layers = 6;
    std::int64_t heads = 12;
    std::int64_t width = 120;
    std::int64_t feedforward = 0;
    std::int64_t token_stride = 4;
    std::int64_t levels = 256;
    double amplitude = 4.0;

    bool operator==(const Model&) const = default;
  } model;
  struct Train {
    std::int64_t epochs = 30;
    std::int64_t batch_size = 64;
    std::string optimizer = "rmsprop";
    double lr = 1e-4;
    double weight_decay = 0.0;
    double momentum = 0.0;
    double clip_norm = 0.0;
    std::int64_t accumulate = 1;
    double ema = 0.0;
    std::string decay = "all";
    std::vector<std::string> freeze;
    std::string pos_weight = "none";
    std::string select = "valid_loss";
    std::string on_nan = "stop";
    std::int64_t early_stopping = 0;
    std::int64_t seed = 0;
    std::string init;
    std::vector<std::string> init_except;

    bool operator==(const Train&) const = default;
  } train;
  struct Loss {
    std::string name = "bce";
    double smoothing = 0.0;
    double gamma = 2.0;
    double alpha = 0.25;
    double gamma_positive = 0.0;
    double gamma_negative = 4.0;
    double margin = 0.05;

    bool operator==(const Loss&) const = default;
  } loss;
  struct Schedule {
    std::string name = "constant";
    double warmup_epochs = 0.0;
    double min_lr = 0.0;
    std::int64_t step_epochs = 10;
    double factor = 0.1;
    std::int64_t patience = 3;

    bool operator==(const Schedule&) const = default;
  } schedule;
  // dcgan only.
  struct Gan {
    std::string class_name = "HYP";
    std::int64_t latent = 64;
    std::int64_t samples = 16;

    bool operator==(const Gan&) const = default;
  } gan;
  struct Augment {
    double noise = 0.0;
    double mask = 0.0;
    double mask_share = 0.15;
    double mask_shortest = 0.08;
    double mask_longest = 0.18;
    double amplitude = 0.0;
    double amplitude_low = 0.8;
    double amplitude_high = 1.25;
    double wander = 0.0;
    double wander_mv = 0.2;
    double hum = 0.0;
    double hum_mv = 0.05;
    std::int64_t hum_hz = 50;
    double lead_dropout = 0.0;
    double crop = 0.0;
    double shift = 0.0;
    double shift_seconds = 0.5;
    double mixup = 0.0;
    std::string copies_of;
    bool only_copies = false;

    bool operator==(const Augment&) const = default;
  } augment;
  struct Run {
    std::string dir;
    bool plots = true;
    bool tensorboard = true;
    std::int64_t log_every = 1;
    std::int64_t checkpoint_epochs = 1;
    std::int64_t checkpoint_steps = 0;
    double checkpoint_minutes = 0.0;
    std::int64_t keep = 1;
    double timeout_seconds = 300.0;

    bool operator==(const Run&) const = default;
  } run;
  std::string device = "cpu";
  std::string precision = "fp32";
  bool deterministic = true;
  bool replay = true;
  std::string plans = "measure";
  std::string plan_file;
  std::int64_t threads = 0;

  bool operator==(const RunConfig&) const = default;
  bool reads(const std::string& input) const;
  std::int64_t samples_in(double seconds) const;  // at data.rate, rounded
};

// What the config asks of its device.
BackendOptions backend_options(const RunConfig& config);

// Whether a config must say where its run goes.
enum class RunDir { required, optional };

// Defaults, then the file, then each "section.key=value". Throws InputError that names file and
// line (or the override), the key, and for an unknown key the nearest known one. Values are checked
// one by one and against each other.
RunConfig read_config(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                      RunDir run_dir = RunDir::required);

// The whole configuration as TOML, each key with its comment: reading it gives the same config.
std::string to_toml(const RunConfig& config);

// A table of all keys with defaults and meaning, for --help-config.
std::string describe_config();

}  // namespace cardiograd
