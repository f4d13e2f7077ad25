#include "trainer/config.h"

#include <algorithm>
#include <functional>
#include <gtest/gtest.h>
#include <limits>

#include "kernels/backend.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::TempFolder;
using Overrides = std::vector<std::string>;

const std::string minimal = "[data]\npath = \"p\"\n[run]\ndir = \"r\"\n";

RunConfig read_text_config(const std::string& text, const Overrides& overrides = {}) {
  const TempFolder folder;
  return read_config(folder.write("c.toml", text), overrides);
}

// What reading says, after the file's path.
std::string error(const std::string& text, const Overrides& overrides = {}) {
  const TempFolder folder;
  const std::string path = folder.write("c.toml", text).string();
  const std::string what = error_of([&] { read_config(path, overrides); });
  return what.starts_with(path) ? what.substr(path.size()) : what;
}

std::string override_error(const std::string& text) {
  const std::string what = error(minimal, {text});
  const std::string where = "command line, \"" + text + "\": ";
  return what.starts_with(where) ? what.substr(where.size()) : what;
}

// Every value another than its default.
RunConfig unusual() {
  RunConfig c;
  c.data = {"a \"b\"\\\n\té #", 500,   "rhythm", {"notes", "signal"}, {2, 4}, {1}, {10, 3}, "lead",
            "notes/x.npy",      "HYP", "host"};
  c.model = {"mmcnn_sum", 0.1 + 0.2, true, true, 2, 8, 96, 100, 5, 64, 2.5};
  c.train = {7, 33,         "adamw",   1.0 / 3e7,        1e-300,     0.9,           1.5,
             4, 0.9,        "weights", {"conv*", "a.b"}, "balanced", "valid_auroc", "skip",
             5, 4294967295, "a.pt",    {"fc2.*"}};
  c.loss = {"focal", 0.1, 1.5, 0.75, 0.5, 3.0, 0.2};
  c.schedule = {"cosine", 1.5, 1e-6, 3, 0.5, 7};
  c.augment = {0.01, 0.3, 0.2, 0.1, 0.2, 0.4, 0.5, 1.5, 0.6,   0.7,
               0.8,  0.9, 60,  0.1, 2.5, 0.3, 1.5, 0.4, "HYP", true};
  c.run = {"dir/with space", false, false, 10, 4, 20, 2.5, 3};
  c.device = "cuda:3";
  c.precision = "bf16";
  c.deterministic = false;
  c.plans = "own";
  c.plan_file = "plans.json";
  c.threads = 3;
  return c;
}

TEST(Config, DefaultsAreTheSeedsRecipe) {
  const RunConfig c = read_text_config(minimal);
  RunConfig expected;
  expected.data.path = "p";
  expected.run.dir = "r";
  EXPECT_EQ(c, expected);
  EXPECT_EQ(c.data.rate, 100);
  EXPECT_EQ(c.data.task, "superdiagnostic");
  EXPECT_EQ(c.data.test_folds, (std::vector<std::int64_t>{10}));
  EXPECT_EQ(c.train.optimizer, "rmsprop");
  EXPECT_EQ(c.train.lr, 1e-4);
  EXPECT_EQ(c.train.select, "valid_loss");
  EXPECT_EQ(c.device, "cpu");
  EXPECT_EQ(c.precision, "fp32");
}

TEST(Config, WhatIsWrittenReadsBackAsTheSame) {
  EXPECT_EQ(read_text_config(to_toml(unusual())), unusual());
  RunConfig defaults;
  defaults.data.path = "p";
  defaults.run.dir = "r";
  EXPECT_EQ(read_text_config(to_toml(defaults)), defaults);
  RunConfig many = defaults;
  many.data.test_folds.assign(500, 10);  // a list of several lines
  EXPECT_EQ(read_text_config(to_toml(many)), many);
}

// The resolved config that a run keeps names every key, so reading it above has tried each one.
TEST(Config, EveryKeyIsListed) {
  const std::string help = describe_config();
  for (const char* key :
       {"data.path", "data.rate", "data.task", "data.inputs", "model.name", "train.epochs",
        "train.batch_size", "train.optimizer", "train.lr", "train.seed", "run.dir", "device",
        "precision", "deterministic", "plans", "plan_file"}) {
    EXPECT_NE(help.find("  " + std::string(key) + " = "), std::string::npos) << key;
  }
  const std::string written = to_toml(unusual());
  const auto lines = std::count(written.begin(), written.end(), '=');
  EXPECT_EQ(std::count(help.begin(), help.end(), '\n') - 1, lines);
}

TEST(Config, KeysMayBeDottedAndSectionsInline) {
  EXPECT_EQ(read_text_config("data.path = 'p'\nrun = {dir = 'r', plots = false}").run.plots, false);
}

TEST(Config, AnIntegerServesWhereANumberIsWanted) {
  EXPECT_EQ(read_text_config(minimal + "[train]\nlr = 1\n").train.lr, 1.0);
  EXPECT_EQ(read_text_config(minimal, {"train.lr=0"}).train.lr, 0.0);
}

TEST(Config, AnUnknownKeyIsNamedWithItsLineAndTheNearestKey) {
  EXPECT_EQ(error(minimal + "[train]\n\nlearning_rate = 1\n"),
            ", line 7: unknown key \"train.learning_rate\"; did you mean \"train.lr\"?");
  EXPECT_EQ(error(minimal + "[train]\nepoch = 1\n"),
            ", line 6: unknown key \"train.epoch\"; did you mean \"train.epochs\"?");
  EXPECT_EQ(error("devise = 'cpu'\n" + minimal),
            ", line 1: unknown key \"devise\"; did you mean \"device\"?");
  EXPECT_EQ(error("\"\\u001b[31m\" = 1\n" + minimal),
            ", line 1: unknown key \"\\x1b[31m\"; trainer fit --help-config lists all keys");
  EXPECT_EQ(error(minimal + "[dat]\nrate = 100\n"),
            ", line 6: unknown key \"dat.rate\"; did you mean \"data.rate\"?");
  EXPECT_EQ(error(minimal + "[zzz]\n"),
            ", line 5: unknown key \"zzz\"; trainer fit --help-config lists all keys");
  EXPECT_EQ(error("run = 3"),
            ", line 1: unknown key \"run\"; trainer fit --help-config lists all keys");
}

TEST(Config, EachWrongTypeSaysWhatIsNeeded) {
  const std::string train = minimal + "[train]\n";
  EXPECT_EQ(error(train + "epochs = 1.5"),
            ", line 6: train.epochs needs an integer, not a number with a fraction");
  EXPECT_EQ(error(train + "epochs = '3'"), ", line 6: train.epochs needs an integer, not a string");
  EXPECT_EQ(error(train + "lr = true"), ", line 6: train.lr needs a number, not true or false");
  EXPECT_EQ(error(train + "optimizer = 3"),
            ", line 6: train.optimizer needs a string, not an integer");
  EXPECT_EQ(error(train + "optimizer.name = 'adam'"),
            ", line 6: train.optimizer needs a string, not a section");
  EXPECT_EQ(error("deterministic = 1\n" + minimal),
            ", line 1: deterministic needs true or false, not an integer");
  EXPECT_EQ(error("device = 1979-05-27\n" + minimal),
            ", line 1: device needs a string, not a date or time");
  EXPECT_EQ(error("[device]\n" + minimal), ", line 1: device needs a string, not a section");
  EXPECT_EQ(error("[data]\ntrain_folds = 1"),
            ", line 2: data.train_folds needs a list of integers such as [1, 2], not an integer");
  EXPECT_EQ(error("[data]\ntrain_folds = [1, 2.5]"),
            ", line 2: data.train_folds needs a list of integers such as [1, 2], not a number with "
            "a fraction");
  EXPECT_EQ(error("[data]\ninputs = 'signal'"),
            ", line 2: data.inputs needs a list of strings such as [\"a\", \"b\"], not a string");
  EXPECT_EQ(error("[data]\ninputs = []"), ", line 2: data.inputs must not be empty");
}

TEST(Config, EachValueOutOfRangeIsRefused) {
  const std::string train = minimal + "[train]\n";
  EXPECT_EQ(error(train + "epochs = 0"), ", line 6: train.epochs must be at least 1, not 0");
  EXPECT_EQ(error(train + "lr = -1e-4"), ", line 6: train.lr must be at least 0, not -1e-04");
  EXPECT_EQ(error(train + "lr = nan"), ", line 6: train.lr must be a finite number, not nan");
  EXPECT_EQ(error(train + "lr = inf"), ", line 6: train.lr must be a finite number, not inf");
  EXPECT_EQ(error(train + "seed = 4294967296"),
            ", line 6: train.seed must be at most 4294967295, not 4294967296");
  EXPECT_EQ(error("[data]\ntrain_folds = [1, 11]"),
            ", line 2: data.train_folds must be at most 10, not 11");
  EXPECT_EQ(error("[augment]\nmask = 1.5"), ", line 2: augment.mask must be at most 1, not 1.5");
  EXPECT_EQ(error("[model]\ndropout = 1.5"), ", line 2: model.dropout must be at most 1, not 1.5");
}

TEST(Config, EachValueThatIsNotAllowedIsRefused) {
  EXPECT_EQ(error("[train]\noptimizer = 'rmsprob'"),
            ", line 2: train.optimizer has no value \"rmsprob\"; did you mean \"rmsprop\"? Known "
            "are sgd, rmsprop, adam, adamw");
  EXPECT_EQ(error("[data]\ninputs = ['signal', 'ecg']"),
            ", line 2: data.inputs has no value \"ecg\"; known are signal, notes");
  EXPECT_EQ(error("precision = 'fp8'"),
            ", line 1: precision has no value \"fp8\"; did you mean \"fp32\"? Known are fp32, "
            "tf32, bf16");
}

TEST(Config, ReachesTheDevice) {
  const BackendOptions usual = backend_options(read_text_config(minimal));
  EXPECT_FALSE(usual.tf32);
  EXPECT_TRUE(usual.deterministic);
  EXPECT_EQ(usual.plans, "measure");
  EXPECT_EQ(usual.plan_file, "");
  const BackendOptions asked = backend_options(read_text_config(
      minimal,
      {"device=cuda", "precision=tf32", "deterministic=false", "plans=own", "plan_file=p.json"}));
  EXPECT_TRUE(asked.tf32);
  EXPECT_FALSE(asked.deterministic);
  EXPECT_EQ(asked.plans, "own");
  EXPECT_EQ(asked.plan_file, "p.json");
  EXPECT_FALSE(backend_options(read_text_config(minimal, {"device=cuda", "precision=bf16"})).tf32);
}

TEST(Config, OverridesComeLast) {
  const RunConfig c = read_text_config(
      minimal + "[train]\nepochs = 4\n",
      {"train.epochs=9", "data.path=/a b/c=d.st", "run.dir=\"quoted\"", "data.inputs=[\"notes\"]",
       "data.train_folds=[3, 4]", "train.lr=1e-3", "deterministic=false", "train.epochs=11"});
  EXPECT_EQ(c.train.epochs, 11) << "the last one counts";
  EXPECT_EQ(c.data.path, "/a b/c=d.st");
  EXPECT_EQ(c.run.dir, "quoted");
  EXPECT_EQ(c.data.inputs, (std::vector<std::string>{"notes"}));
  EXPECT_EQ(c.data.train_folds, (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(c.train.lr, 1e-3);
  EXPECT_FALSE(c.deterministic);
}

TEST(Config, EachBadOverrideIsRefused) {
  EXPECT_EQ(override_error("train.lrr=1"), "unknown key \"train.lrr\"; did you mean \"train.lr\"?");
  EXPECT_EQ(override_error("train.lrr=1 2"),
            "unknown key \"train.lrr\"; did you mean \"train.lr\"?");
  EXPECT_EQ(override_error("train.lr"), "an override reads section.key=value");
  EXPECT_EQ(override_error("=1"), "an override reads section.key=value");
  EXPECT_EQ(override_error("train.epochs="), "train.epochs needs an integer");
  EXPECT_EQ(override_error("train.epochs=many"), "train.epochs needs an integer");
  EXPECT_EQ(override_error("train.epochs=99999999999999999999"), "train.epochs needs an integer");
  EXPECT_EQ(override_error("train.epochs=2.0"),
            "train.epochs needs an integer, not a number with a fraction");
  EXPECT_EQ(override_error("run.plots=yes"), "run.plots needs true or false");
  EXPECT_EQ(override_error("data.inputs=signal,notes"),
            "data.inputs needs a list of strings such as [\"a\", \"b\"]");
  EXPECT_EQ(override_error("data.inputs=[signal]"),
            "data.inputs needs a list of strings such as [\"a\", \"b\"]");
  EXPECT_EQ(override_error("train.lr=nan"), "train.lr must be a finite number, not nan");
  EXPECT_EQ(error(minimal, {"train.epochs=1\ntrain.lr=3"}),
            "command line, \"train.epochs=1\\x0atrain.lr=3\": an override sets one key alone");
}

TEST(Config, ValuesThatDoNotFitTogetherAreRefused) {
  EXPECT_EQ(error("[run]\ndir = 'r'"),
            ": data.path is missing: name the file that cardiograd prepare wrote");
  EXPECT_EQ(error("[data]\npath = 'p'"),
            ": run.dir is missing: name the folder that the run shall make");
  const TempFolder folder;
  const auto path = folder.write("c.toml", "[data]\npath = 'p'");
  EXPECT_EQ(read_config(path, {}, RunDir::optional).run.dir, "");
  EXPECT_EQ(error(minimal, {"data.rate=250"}), ": data.rate must be 100 or 500");
  EXPECT_EQ(error(minimal, {"precision=bf16"}),
            ": precision \"bf16\" needs a CUDA device; on the CPU use \"fp32\"");
  EXPECT_EQ(error(minimal, {"precision=tf32"}),
            ": precision \"tf32\" needs a CUDA device; on the CPU use \"fp32\"");
  EXPECT_EQ(error(minimal, {"data.train_folds=[1, 9]"}),
            ": fold 9 is both trained on and evaluated");
  EXPECT_EQ(error(minimal, {"data.test_folds=[8]"}), ": fold 8 is both trained on and evaluated");
  EXPECT_EQ(error(minimal, {"augment.mask_shortest=0.2"}),
            ": augment.mask_shortest must not exceed augment.mask_longest");
  EXPECT_EQ(error(minimal, {"augment.amplitude_low=2"}),
            ": augment.amplitude_low must not exceed augment.amplitude_high");
  EXPECT_EQ(error(minimal, {"augment.hum_hz=55"}), ": augment.hum_hz must be 50 or 60");
  EXPECT_EQ(error(minimal, {"augment.only_copies=true"}),
            ": augment.only_copies needs augment.copies_of: name the class to copy");
}

TEST(Config, WhatIsNotTomlIsNamedWithItsLine) {
  const std::string broken = error(minimal + "[train]\nlr 1e-4\n");
  EXPECT_TRUE(broken.starts_with(", line 6: this is not TOML: ")) << broken;
  EXPECT_EQ(broken.find('\n'), std::string::npos) << broken;
  const std::string twice = error(minimal + "[data]\n");
  EXPECT_TRUE(twice.starts_with(", line 5: this is not TOML: ")) << twice;
  const std::string huge = error(minimal + "[train]\nepochs = 99999999999999999999\n");
  EXPECT_TRUE(huge.starts_with(", line 6: this is not TOML: ")) << huge;
}

TEST(Config, AFileThatCannotBeReadIsNamed) {
  const TempFolder folder;
  EXPECT_EQ(error_of([&] { read_config(folder / "none.toml", {}); }),
            "config " + (folder / "none.toml").string() +
                " does not exist; ready ones lie in trainer/configs");
  const std::string is_folder = error_of([&] { read_config(folder.path(), {}); });
  EXPECT_NE(is_folder.find(folder.path().string()), std::string::npos) << is_folder;
  const std::string big(2 << 20, '#');
  const std::string too_big = error_of([&] { read_config(folder.write("big", big), {}); });
  EXPECT_NE(too_big.find((folder / "big").string()), std::string::npos) << too_big;
}

TEST(Config, EveryReadyConfigReads) {
  int count = 0;
  const std::filesystem::path configs = CARDIOGRAD_SOURCE_DIR "/trainer/configs";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(configs)) {
    if (entry.path().extension() != ".toml") continue;
    ++count;
    EXPECT_EQ(error_of([&] { read_config(entry.path(), {}); }), "");
  }
  EXPECT_GE(count, 3);
}

}  // namespace
}  // namespace cardiograd
