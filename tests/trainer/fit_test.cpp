#include "trainer/fit.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>

#include "data/notes.h"
#include "data/packed.h"
#include "kernels/text.h"
#include "tests/support/run_events.h"
#include "tests/support/small_packed.h"
#include "tests/support/synthetic_data.h"
#include "tests/support/torch_archive.h"
#include "trainer/eval.h"

namespace cardiograd {
namespace {

using nlohmann::json;
using testing::error_of;
using testing::events;
using testing::read_file;
using testing::repeatable_events;
using testing::SmallPacked;
using testing::SyntheticData;
using testing::TempFolder;

const SyntheticData& data() {
  static const SyntheticData made(120);
  return made;
}

RunConfig config_for(const std::filesystem::path& dir) {
  RunConfig config;
  config.data.path = data().packed().string();
  config.run.dir = dir.string();
  config.run.plots = false;
  config.train.epochs = 2;
  config.train.batch_size = 32;
  return config;
}

// What must be the same in two runs alike: weights, and every figure but the speed.
std::string result_of(const std::filesystem::path& run) {
  std::string text =
      read_file(run / "last/model.safetensors") + read_file(run / "last/optimizer.safetensors");
  for (const char* kind : {"step", "epoch", "test"}) {
    for (const json& event : repeatable_events(run, kind)) text += event.dump();
  }
  return text;
}

std::string fit_and_read(const TempFolder& folder, const std::string& name, RunConfig config) {
  config.run.dir = (folder / name).string();
  fit(config, true);
  return result_of(folder / name);
}

TEST(Fit, LeavesARunFolderWithEverythingInIt) {
  const TempFolder folder;
  const std::filesystem::path run = folder / "runs/first";
  const RunConfig config = config_for(run);
  const FitResult result = fit(config, true);

  for (const char* name :
       {"best/model.safetensors", "best/optimizer.safetensors", "best/state.json",
        "best/config.toml", "last/model.safetensors", "last/optimizer.safetensors",
        "last/state.json", "last/config.toml", "config.toml", "metrics.jsonl", "test.json",
        "test_targets.npy", "test_predictions.npy", "run.html"}) {
    EXPECT_TRUE(std::filesystem::is_regular_file(run / name)) << name;
  }
  const auto entries = std::distance(std::filesystem::directory_iterator(run), {});
  EXPECT_EQ(entries, 9) << "with the folder tensorboard, and nothing else";
  EXPECT_EQ(read_config(run / "config.toml", {}), config);

  const json test = json::parse(read_file(run / "test.json"));
  EXPECT_EQ(test.at("macro_auroc"), result.test.macro_auroc.value());
  EXPECT_EQ(test.at("epoch"), result.best_epoch);
  EXPECT_EQ(test.at("folds"), json({10}));
  EXPECT_EQ(test.at("classes").size(), 5U);
  EXPECT_EQ(events(run, "start").size(), 1U);
  EXPECT_EQ(events(run, "test").size(), 1U);
  const std::vector<json> epochs = events(run, "epoch");
  ASSERT_EQ(epochs.size(), 2U);
  EXPECT_EQ(events(run, "step").size(), epochs.back().at("step").get<std::size_t>());
  EXPECT_LT(epochs[1].at("train_loss"), epochs[0].at("train_loss"));
}

TEST(Fit, TheTrainingLossIsTheMeanOverRecords) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.epochs = 1;
  fit(config, true);
  const json start = events(folder / "run", "start").front();
  double sum = 0.0;
  auto left = start.at("train_records").get<double>();
  for (const json& step : events(folder / "run", "step")) {
    const double size = std::min(left, 32.0);
    sum += step.at("loss").get<double>() * size;
    left -= size;
  }
  EXPECT_EQ(left, 0.0);
  EXPECT_NEAR(events(folder / "run", "epoch").front().at("train_loss").get<double>(),
              sum / start.at("train_records").get<double>(), 1e-12);
}

// A learning rate that is far too high makes later epochs worse than an early one.
TEST(Fit, BestIsTheEpochOfTheLowestValidationLoss) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.epochs = 5;
  config.train.lr = 3e-3;
  const FitResult result = fit(config, true);
  const std::vector<json> epochs = events(folder / "run", "epoch");
  const auto best = std::min_element(
      epochs.begin(), epochs.end(),
      [](const json& a, const json& b) { return a.at("valid_loss") < b.at("valid_loss"); });
  EXPECT_EQ(result.best_epoch, best->at("epoch"));
  EXPECT_LT(result.best_epoch, 5) << "the last epoch must not be the best one here";
  const json state = json::parse(read_file(folder / "run/best/state.json"));
  EXPECT_EQ(state.at("epoch"), best->at("epoch"));
  EXPECT_EQ(state.at("valid_loss"), best->at("valid_loss"));
  EXPECT_EQ(json::parse(read_file(folder / "run/last/state.json")).at("epoch"), 5);
}

TEST(Fit, TheSameSeedGivesTheSameBitsAndAnotherOneOthers) {
  const TempFolder folder;
  RunConfig config = config_for("");
  config.model.dropout = 0.2;
  const std::string first = fit_and_read(folder, "first", config);
  EXPECT_TRUE(fit_and_read(folder, "second", config) == first);
  config.train.seed = 1;
  EXPECT_FALSE(fit_and_read(folder, "other seed", config) == first);
}

TEST(Fit, TheNumberOfThreadsDoesNotChangeTheBits) {
  const TempFolder folder;
  RunConfig config = config_for("");
  config.threads = 1;
  const std::string one = fit_and_read(folder, "one", config);
  config.threads = 2;
  EXPECT_TRUE(fit_and_read(folder, "two", config) == one);
}

TEST(Fit, EvaluationReproducesTheTestFigures) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.data.standardize = "lead";
  config.data.inputs = {"signal", "notes"};
  config.model.name = "mmcnn_sum";
  const FitResult result = fit(config, true);
  const json test = json::parse(read_file(folder / "run/test.json"));
  EvalOptions options;
  options.run = folder / "run";
  options.quiet = true;
  const EvalResult again = evaluate_run(options);
  EXPECT_EQ(again.metrics.macro_auroc, result.test.macro_auroc);
  EXPECT_EQ(again.metrics.macro_auroc.value(), test.at("macro_auroc"));
  EXPECT_EQ(again.loss, test.at("loss"));
  EXPECT_EQ(again.epoch, result.best_epoch);
  options.fold = 9;
  options.checkpoint = "last";
  EXPECT_EQ(evaluate_run(options).loss, events(folder / "run", "epoch").back().at("valid_loss"));
}

TEST(Fit, EvaluationRefusesRecordsThatWereDenoisedInAnotherWay) {
  const TempFolder folder;
  SmallPacked packed(30, 200);
  RunConfig config = config_for(folder / "run");
  config.data.path = packed.write(folder / "plain").string();
  config.train.epochs = 1;
  fit(config, true);
  EvalOptions options;
  options.run = folder / "run";
  options.quiet = true;
  EXPECT_EQ(evaluate_run(options).epoch, 1);
  packed.denoise = DenoiseSpec{};
  options.data = packed.write(folder / "denoised");
  EXPECT_EQ(error_of([&] { evaluate_run(options); }),
            "the records of " + options.data->string() +
                " were denoised with db4,levels=3,mode=hard,factor=0.1, those that the model was "
                "trained on were not denoised; pack them alike with cardiograd prepare --denoise");
}

// Notes that the packed file lacks are missed only where they are asked for.
TEST(Fit, OneInputOfTwoIsEnough) {
  const TempFolder folder;
  RunConfig config = config_for("");
  config.model.name = "mmcnn_sum";
  config.train.epochs = 1;
  std::set<std::string> results;
  for (const std::vector<std::string>& inputs :
       {std::vector<std::string>{"signal"}, {"notes"}, {"notes", "signal"}}) {
    config.data.inputs = inputs;
    const std::string name = join(inputs, "_");
    results.insert(fit_and_read(folder, name, config));
    EXPECT_EQ(events(folder / name, "start").front().at("inputs"), json(inputs));
    EvalOptions options;
    options.run = folder / name;
    options.quiet = true;
    EXPECT_EQ(evaluate_run(options).loss, events(folder / name, "test").front().at("loss"));
  }
  EXPECT_EQ(results.size(), 3U);

  SmallPacked(40, 60).write(folder / "no_notes");
  config.data.path = (folder / "no_notes").string();
  config.data.inputs = {"signal"};
  fit_and_read(folder, "without", config);
  config.data.inputs = {"notes", "signal"};
  config.run.dir = (folder / "with").string();
  EXPECT_EQ(
      error_of([&] { fit(config, true); }),
      (folder / "no_notes").string() + " holds no note embeddings: run cardiograd prepare again");
}

// Six values a note, of all records but the first five.
std::filesystem::path write_notes(const TempFolder& folder, std::int64_t size = 6) {
  const PackedDataset dataset(data().packed());
  const std::int64_t rows = dataset.records() - 5;
  std::vector<float> notes;
  for (std::int64_t i = 0; i < rows * size; ++i) {
    notes.push_back(static_cast<float>(i % 13) / 13.0F + 0.1F);
  }
  write_safetensors(folder / "notes", {{"notes", {notes.data(), DType::f32, {rows, size}}},
                                       {"ecg_id", {&dataset.ecg_id()[5], DType::i32, {rows}}}});
  return folder / "notes";
}

TEST(Fit, NotesOfAnotherSourceGiveTheModelTheirWidth) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.data.inputs = {"signal", "notes"};
  config.data.notes = write_notes(folder).string();
  config.model.name = "mmcnn_cat";
  config.train.epochs = 1;
  ::testing::internal::CaptureStderr();
  const FitResult result = fit(config);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("5 of 120 records have no note: zero vectors stand for them\n"),
            std::string::npos)
      << log;
  EXPECT_EQ(events(folder / "run", "start").front().at("records_without_note"), 5);
  EXPECT_EQ(json::parse(read_file(folder / "run/best/state.json")).at("model").at("note_size"), 6);
  EXPECT_FALSE(std::filesystem::exists(folder / "run/best/notes.safetensors"))
      << "these notes cannot be made from text";
  EvalOptions options{.run = folder / "run"};
  options.quiet = true;
  EXPECT_EQ(evaluate_run(options).metrics.macro_auroc, result.test.macro_auroc);
  options.overrides = {"data.notes=" + write_notes(folder, 7).string()};
  EXPECT_EQ(error_of([&] { evaluate_run(options); }),
            (folder / "notes").string() + " has notes of 7 values, but " +
                (folder / "run/best").string() + " was trained on notes of 6");
}

TEST(Fit, HashedNotesLeaveTheirWeightsInTheCheckpoint) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.data.inputs = {"signal", "notes"};
  config.model.name = "mmcnn_cat";
  config.train.epochs = 1;
  fit(config, true);
  const SafetensorsFile saved(folder / "run/last/notes.safetensors");
  const PackedDataset dataset(data().packed());
  const auto* idf = saved.view("note_idf", DType::f32, {note_buckets}).as<float>();
  EXPECT_TRUE(std::equal(dataset.note_idf().begin(), dataset.note_idf().end(), idf));
}

TEST(Fit, StartsFromTheWeightsOfInit) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "first");
  fit(config, true);
  config.run.dir = (folder / "second").string();
  config.train.init = (folder / "first/last").string();
  config.train.lr = 0.0;
  config.train.epochs = 1;
  fit(config, true);
  EXPECT_EQ(read_file(folder / "second/last/model.safetensors"),
            read_file(folder / "first/last/model.safetensors"));
}

TEST(Fit, WeightsThatDoNotFitMakeNoRunFolder) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.init =
      folder.write("w.pt", testing::torch_state("", {{"conv1.bias", {1, 2}}, {"odd", {3}}}))
          .string();
  const std::string error = error_of([&] { fit(config, true); });
  EXPECT_TRUE(error.starts_with(config.train.init + " does not fit this model: it lacks conv1."))
      << error;
  EXPECT_NE(error.find("; it has the unknown odd; shapes differ for conv1.bias ([2] there, [16] "
                       "here)."),
            std::string::npos)
      << error;
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(Fit, EvaluationTakesWeightsFromAFileAndTheModelFromAConfig) {
  const TempFolder folder;
  const RunConfig config = config_for(folder / "run");
  const FitResult result = fit(config, true);
  std::filesystem::copy(folder / "run/best/model.safetensors", folder / "weights");
  const auto text = folder.write("c.toml", to_toml(config));
  EvalOptions options{.run = text, .checkpoint = (folder / "weights").string(), .quiet = true};
  const EvalResult again = evaluate_run(options);
  EXPECT_EQ(again.metrics.macro_auroc, result.test.macro_auroc);
  EXPECT_FALSE(again.epoch.has_value());
  options.run.clear();
  EXPECT_EQ(error_of([&] { evaluate_run(options); }),
            "--checkpoint " + options.checkpoint +
                " does not say which model it belongs to: name a config as well, for example "
                "trainer/configs/seed/mmcnn_cat.toml");
  options.checkpoint = (folder / "run/best").string();
  EXPECT_EQ(evaluate_run(options).epoch, result.best_epoch) << "a checkpoint holds its config";
  options.checkpoint = (folder / "third").string();
  EXPECT_EQ(error_of([&] { evaluate_run(options); }),
            options.checkpoint +
                " does not exist; a .pt or .safetensors file or a checkpoint's folder is wanted");
}

TEST(Fit, ARunFolderThatExistsIsRefusedAndLeftAlone) {
  const TempFolder folder;
  folder.write("run/test.json", "old");
  EXPECT_EQ(error_of([&] { fit(config_for(folder / "run"), true); }),
            "run.dir " + (folder / "run").string() +
                " exists already: choose another folder, or move the old run away");
  EXPECT_EQ(read_file(folder / "run/test.json"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "run"), {}), 1);
}

TEST(Fit, WhatDoesNotFitTogetherMakesNoRunFolder) {
  const TempFolder folder;
  const auto refused = [&](const auto& change) {
    RunConfig config = config_for(folder / "run");
    change(config);
    const std::string error = error_of([&] { fit(config, true); });
    EXPECT_FALSE(std::filesystem::exists(folder / "run")) << error;
    return error;
  };
  const std::string path = data().packed().string();
  EXPECT_EQ(refused([](RunConfig& c) { c.data.rate = 500; }),
            "data.rate is 500, but " + path + " was prepared at 100 Hz");
  EXPECT_EQ(refused([](RunConfig& c) {
              c.data.inputs = {"signal", "notes"};
            }),
            "model \"cnn\" does not read the notes, but data.inputs lists \"notes\"");
  EXPECT_EQ(refused([](RunConfig& c) { c.data.inputs = {}; }),
            "data.inputs lists nothing that model \"cnn\" reads: it can read signal");
  EXPECT_EQ(
      refused([](RunConfig& c) {
        c.data.inputs = {};
        c.model.name = "mmcnn_cat";
      }),
      "data.inputs lists nothing that model \"mmcnn_cat\" reads: it can read signal and notes");
  EXPECT_EQ(refused([](RunConfig& c) { c.device = "gpu"; }),
            "device \"gpu\" is unknown: use \"cpu\", \"cuda\" or \"cuda:N\"");
  EXPECT_TRUE(refused([](RunConfig& c) {
                c.model.name = "cnnn";
              }).starts_with("model \"cnnn\" is unknown; did you mean \"cnn\"? Known are "));
}

TEST(Fit, ALossThatIsNoNumberNamesStepAndRecords) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.lr = 1e30;
  config.train.batch_size = 8;
  const std::string error = error_of([&] { fit(config, true); });
  const std::string sentence =
      "the loss became nan at step 2 (epoch 1): lower train.lr or set train.clip_norm; the "
      "batch's ecg_ids were ";
  ASSERT_TRUE(error.starts_with(sentence)) << error;
  EXPECT_EQ(std::count(error.begin() + static_cast<long>(sentence.size()), error.end(), ' '), 7);
}

TEST(Fit, AValidationLossThatIsNoNumberIsSaid) {
  const TempFolder folder;
  RunConfig config = config_for(folder / "run");
  config.train.lr = 1e30;
  config.train.batch_size = 1000;  // the only step of the epoch has a finite loss
  EXPECT_EQ(error_of([&] { fit(config, true); }),
            "the validation loss became nan at step 1 (epoch 1): lower train.lr or set "
            "train.clip_norm");
  EXPECT_FALSE(std::filesystem::exists(folder / "run/best"));
}

}  // namespace
}  // namespace cardiograd
