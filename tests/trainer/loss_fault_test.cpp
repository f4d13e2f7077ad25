// Losses that are no numbers: train.on_nan.
#include "trainer/loss_fault.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/run_events.h"
#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"
#include "trainer/fit.h"

namespace cardiograd {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::error_of;
using testing::read_file;
using testing::SmallPacked;
using testing::TempFolder;

// 60 records of 100 samples; the note of record 1, in training fold 2, overflows.
fs::path packed_with_a_bad_note(const TempFolder& folder) {
  SmallPacked packed(60, 100);
  packed.notes.assign(60 * 768, 0.01F);
  for (std::size_t i = 768; i < 2 * 768; ++i) {
    packed.notes[i] = i % 2 == 0 ? 3e38F : -3e38F;
  }
  return packed.write(folder / "packed");
}

RunConfig config_for(const TempFolder& folder, const std::string& on_nan) {
  RunConfig config;
  config.data.path = packed_with_a_bad_note(folder).string();
  config.data.inputs = {"signal", "notes"};
  config.model.name = "mmcnn_cat";
  config.model.batch_norm = true;
  config.train.epochs = 1;
  config.train.batch_size = 8;
  config.train.on_nan = on_nan;
  config.run.dir = (folder / "run").string();
  config.run.plots = false;
  return config;
}

std::vector<json> events(const TempFolder& folder, const std::string& kind) {
  return testing::events(folder / "run", kind);
}

json last_state(const TempFolder& folder) {
  return json::parse(read_file(folder / "run/last/state.json"));
}

TEST(LossFault, NamesWhatItIs) {
  EXPECT_EQ(name_of_loss(std::nan("")), "nan");
  EXPECT_EQ(name_of_loss(HUGE_VAL), "inf");
  EXPECT_EQ(name_of_loss(-HUGE_VAL), "-inf");
  const LossFault fault("loss", HUGE_VAL, 7, 2, {101, 103});
  EXPECT_STREQ(fault.what(),
               "the loss became infinite at step 7 (epoch 2): lower train.lr or set "
               "train.clip_norm; the batch's ecg_ids were 101 103");
}

TEST(OnNan, ABatchIsSkippedAndNamed) {
  const TempFolder folder;
  fit(config_for(folder, "skip"), true);
  const std::vector<json> skipped = events(folder, "skip");
  ASSERT_EQ(skipped.size(), 1U);
  EXPECT_EQ(skipped[0].at("loss"), "nan");
  EXPECT_EQ(skipped[0].at("epoch"), 1);
  const auto ids = skipped[0].at("ecg_ids").get<std::vector<int>>();
  EXPECT_EQ(ids.size(), 8U);
  EXPECT_NE(std::find(ids.begin(), ids.end(), 101), ids.end());
  const json state = last_state(folder);
  // Of 40 labelled records, those in folds 9 and 10 left out, in batches of 8.
  EXPECT_EQ(state.at("step").get<std::size_t>(), events(folder, "step").size());
  EXPECT_EQ(state.at("faults").at("skipped"), 1);
  EXPECT_EQ(state.at("faults").at("skipped_in_row"), 0);
  EXPECT_TRUE(std::isfinite(events(folder, "epoch").at(0).at("train_loss").get<double>()));
}

TEST(OnNan, NothingOfASkippedBatchStays) {
  const TempFolder folder;
  RunConfig config = config_for(folder, "skip");
  config.train.batch_size = 8;
  config.train.lr = 0.0;
  fit(config, true);
  // Running statistics that a NaN went into would be NaN for ever, and the loss with them.
  EXPECT_TRUE(std::isfinite(events(folder, "test").at(0).at("loss").get<double>()));

  // A single batch, which is skipped: the model stays what it began as.
  fs::rename(folder / "run", folder / "first");
  config.train.init = (folder / "first/best").string();
  config.train.batch_size = 1000;
  config.train.lr = 0.1;
  fit(config, true);
  EXPECT_EQ(read_file(folder / "run/last/model.safetensors"),
            read_file(folder / "first/best/model.safetensors"));
  EXPECT_EQ(last_state(folder).at("step"), 0);
}

TEST(OnNan, TooManySkippedInARowEndTheRun) {
  const TempFolder folder;
  RunConfig config = config_for(folder, "skip");
  config.train.batch_size = 1000;
  config.train.epochs = 11;
  const std::string error = error_of([&] { fit(config, true); });
  EXPECT_TRUE(
      error.starts_with("the loss became nan at step 1 (epoch 10) in 10 batches in a row: "
                        "lower train.lr or set train.clip_norm; the batch's ecg_ids were "))
      << error;
}

TEST(OnNan, ThreeWaysBackEndTheRun) {
  const TempFolder folder;
  const std::string error = error_of([&] { fit(config_for(folder, "rollback"), true); });
  EXPECT_TRUE(error.starts_with("the loss became nan at step ")) << error;
  const std::vector<json> rollbacks = events(folder, "rollback");
  ASSERT_EQ(rollbacks.size(), 3U);
  EXPECT_EQ(rollbacks[2].at("lr"), 1e-4 / 8);
  EXPECT_EQ(rollbacks[2].at("to_step"), 0);
  EXPECT_EQ(rollbacks[2].at("ecg_ids").size(), 8U);
  EXPECT_EQ(last_state(folder).at("faults").at("rollbacks"), 3);
  EXPECT_EQ(last_state(folder).at("faults").at("lr_factor"), 0.125);
  EXPECT_TRUE(error_of([&] {
                fit(config_for(folder, "rollback"), true, Start::resume);
              }).starts_with("the loss became nan at step "))
      << "three in the whole run, resumed or not";
}

// One step whose size decides whether the validation loss overflows: it does above some 3000.
TEST(OnNan, HalfTheLearningRateMayDo) {
  const TempFolder folder;
  RunConfig config = config_for(folder, "rollback");
  config.data.inputs = {"signal"};
  config.model.name = "cnn";
  config.model.batch_norm = false;
  config.train.batch_size = 1000;
  config.train.lr = 1e30;
  EXPECT_NE(error_of([&] { fit(config, true); }), "");
  fs::remove_all(folder / "run");
  for (config.train.lr = 1e4; error_of([&] { fit(config, true); }).empty(); config.train.lr *= 4) {
    if (!events(folder, "rollback").empty()) break;
    fs::remove_all(folder / "run");
  }
  const auto rollbacks = static_cast<double>(events(folder, "rollback").size());
  EXPECT_GE(rollbacks, 1.0);
  EXPECT_LE(rollbacks, 3.0);
  EXPECT_EQ(last_state(folder).at("faults").at("lr_factor"), std::exp2(-rollbacks));
  EXPECT_EQ(last_state(folder).at("epoch"), 1);
  EXPECT_EQ(events(folder, "step").size(), 1U) << "the step that was taken back is not in the log";
}

}  // namespace
}  // namespace cardiograd
