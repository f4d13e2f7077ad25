#include "trainer/training_set.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

#include "data/balance.h"
#include "tests/support/synthetic_data.h"
#include "trainer/eval.h"
#include "trainer/fit.h"

namespace cardiograd {
namespace {

using nlohmann::json;
using testing::error_of;
using testing::SyntheticData;
using testing::TempFolder;

const SyntheticData& data() {
  static const SyntheticData made(150);
  return made;
}

RunConfig config_for(const std::filesystem::path& dir) {
  RunConfig config;
  config.data.path = data().packed().string();
  config.run.dir = dir.string();
  config.run.plots = false;
  config.train.epochs = 1;
  config.train.batch_size = 32;
  return config;
}

RunConfig everything(const std::filesystem::path& dir) {
  RunConfig config = config_for(dir);
  RunConfig::Augment& augment = config.augment;
  augment.noise = 0.01;
  augment.mask = augment.amplitude = augment.wander = augment.hum = augment.shift = 0.5;
  augment.lead_dropout = 0.1;
  augment.mixup = 0.2;
  return config;
}

json event_of(const std::filesystem::path& run, const std::string& kind) {
  std::ifstream file(run / "metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    const json event = json::parse(line);
    if (event.at("event") == kind) return event;
  }
  return {};
}

// The untrained model's loss on the validation folds tells whether they were touched.
TEST(TrainingSet, AugmentationTouchesTrainingBatchesAlone) {
  const TempFolder folder;
  RunConfig plain = config_for(folder / "plain");
  RunConfig augmented = everything(folder / "augmented");
  plain.train.lr = augmented.train.lr = 0.0;
  fit(plain, true);
  fit(augmented, true);
  const json first = event_of(folder / "plain", "epoch");
  const json second = event_of(folder / "augmented", "epoch");
  EXPECT_NE(first.at("train_loss"), second.at("train_loss"));
  EXPECT_EQ(first.at("valid_loss"), second.at("valid_loss"));
  EXPECT_EQ(event_of(folder / "plain", "test").at("loss"),
            event_of(folder / "augmented", "test").at("loss"));
}

TEST(TrainingSet, AnAugmentedRunRepeatsItsBits) {
  const TempFolder folder;
  RunConfig config = everything(folder / "first");
  config.augment.copies_of = "HYP";
  fit(config, true);
  config.run.dir = (folder / "second").string();
  config.threads = 1;
  fit(config, true);
  const auto weights = [&](const char* run) {
    return testing::read_file(folder / run / "last/model.safetensors");
  };
  EXPECT_TRUE(weights("first") == weights("second"));
}

TEST(TrainingSet, TheStartSaysWhatIsOn) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.augment.noise = 0.01;
  config.augment.mask = 0.3;
  config.augment.copies_of = "HYP";
  config.augment.only_copies = true;
  config.data.undersample = "NORM";
  const TrainingSet set = open_training_set(open_session(config), config);
  ASSERT_EQ(set.remarks.size(), 2U);
  EXPECT_TRUE(set.remarks[0].starts_with("undersampling left out ")) << set.remarks[0];
  EXPECT_TRUE(set.remarks[0].ends_with(" records with no class but NORM")) << set.remarks[0];
  const std::size_t copies = set.examples.size() - set.originals.size();
  EXPECT_TRUE(
      set.remarks[1].starts_with(std::to_string(copies) + " extra copies of HYP, drawn between "))
      << set.remarks[1];
  fit(config, true);
  const json start = event_of(folder / "run", "start");
  EXPECT_EQ(start.at("augmentation"), "noise 0.01, mask 0.3, of the copies alone");
  EXPECT_EQ(start.at("balancing"), json(set.remarks));
  EXPECT_EQ(start.at("train_records"), set.examples.size());
  EXPECT_EQ(start.at("train_copies"), copies);
  EXPECT_EQ(describe_augmentation({}), "");
}

TEST(TrainingSet, BalancesTheTrainingFoldsAlone) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.data.undersample = "NORM";
  config.augment.copies_of = "HYP";
  const Session session = open_session(config);
  const ExampleSource& source = *session.source;
  const TrainingSet set = open_training_set(session, config);
  std::set<int> folds;
  for (const std::int32_t record : source.records_of(set.examples)) {
    folds.insert(session.dataset->fold()[static_cast<std::size_t>(record)]);
  }
  EXPECT_TRUE(std::all_of(folds.begin(), folds.end(), [](int fold) { return fold <= 8; }));
  const std::vector<std::string>& classes = session.task.classes;
  const auto hyp =
      static_cast<std::size_t>(std::find(classes.begin(), classes.end(), "HYP") - classes.begin());
  const std::vector<std::int64_t> before = class_counts(source, set.originals);
  const std::vector<std::int64_t> after = class_counts(source, set.examples);
  const auto copies = static_cast<std::int64_t>(set.examples.size() - set.originals.size());
  EXPECT_GT(copies, 0);
  EXPECT_EQ(after[hyp], before[hyp] + copies);
  EXPECT_LE(copies, *std::max_element(before.begin(), before.end()) - before[hyp]);
  const auto all = examples_of(session, config.data.train_folds, "data.train_folds");
  EXPECT_LE(set.originals.size(), all.size());
  EXPECT_EQ(set.augmentation.partners, set.originals);
}

TEST(TrainingSet, SecondsBecomeSamplesAtTheRate) {
  RunConfig config;
  config.data.rate = 500;
  config.augment.shift_seconds = 0.3;
  const AugmentSpec spec = augment_spec(config);
  EXPECT_EQ(spec.mask_shortest, 40);
  EXPECT_EQ(spec.mask_longest, 90);
  EXPECT_EQ(spec.shift_most, 150);
  EXPECT_EQ(spec.rate, 500.0);
  EXPECT_FALSE(spec.changes_signal());
  config.data.rate = 100;
  config.augment.mask_shortest = 0.0;
  EXPECT_EQ(augment_spec(config).mask_shortest, 1);
}

TEST(TrainingSet, ACroppedModelIsEvaluatedOnTheCentre) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.augment.crop = 2.5;
  EXPECT_EQ(open_session(config).options.length, 250);
  fit(config, true);
  EvalOptions options;
  options.run = folder / "run";
  options.quiet = true;
  EXPECT_EQ(evaluate_run(options).loss, event_of(folder / "run", "test").at("loss"));
}

// The loss of an evaluation weighs the classes as the training did.
TEST(TrainingSet, ClassWeightsAreKeptForTheEvaluation) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.pos_weight = "balanced";
  fit(config, true);
  const Session session = open_session(config);
  const TrainingSet set = open_training_set(session, config);
  const std::vector<std::int64_t> counts = class_counts(*session.source, set.examples);
  const json weights = event_of(folder / "run", "start").at("pos_weight");
  ASSERT_EQ(weights.size(), counts.size());
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const auto positives = static_cast<double>(counts[c]);
    EXPECT_NEAR(weights[c].get<double>(),
                (static_cast<double>(set.examples.size()) - positives) / positives, 1e-5);
  }
  EvalOptions options;
  options.run = folder / "run";
  options.quiet = true;
  EXPECT_EQ(evaluate_run(options).loss, event_of(folder / "run", "test").at("loss"));
}

TEST(TrainingSet, WhatDoesNotFitIsRefused) {
  const TempFolder folder;
  const auto refused = [&](const auto& change) {
    RunConfig config = config_for(folder / "run");
    change(config);
    const std::string error = error_of([&] { fit(config, true); });
    EXPECT_FALSE(std::filesystem::exists(folder / "run")) << error;
    return error;
  };
  EXPECT_EQ(refused([](RunConfig& c) { c.data.undersample = "NROM"; }),
            "data.undersample: task \"superdiagnostic\" has no class \"NROM\"; did you mean "
            "\"NORM\"? Known are CD, HYP, MI, NORM, STTC");
  EXPECT_EQ(refused([](RunConfig& c) { c.augment.copies_of = "LVH"; }),
            "augment.copies_of: task \"superdiagnostic\" has no class \"LVH\"; known are CD, HYP, "
            "MI, NORM, STTC");
  EXPECT_EQ(refused([](RunConfig& c) { c.augment.crop = 10.5; }),
            "augment.crop is 1050 samples, but the records of " + data().packed().string() +
                " have 1000");
}

}  // namespace
}  // namespace cardiograd
