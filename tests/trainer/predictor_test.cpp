// Models of single records: which one a file of weights is, and what fits with what.
#include "trainer/predictor.h"

#include <cmath>
#include <gtest/gtest.h>

#include "data/npy.h"
#include "data/wfdb.h"
#include "models/registry.h"
#include "nn/ops.h"
#include "nn/state_dict.h"
#include "nn/tape.h"
#include "tests/support/synthetic_data.h"
#include "trainer/fit.h"
#include "trainer/model_guess.h"
#include "trainer/record_notes.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::TempFolder;

std::unique_ptr<Classifier> make(const ModelOptions& options) {
  TorchGenerator random(0);
  return find_model(options.name).make({make_backend("cpu"), DType::f32, &random}, options);
}

std::filesystem::path save(const TempFolder& folder, const ModelOptions& options) {
  const auto path = folder / (options.name + ".safetensors");
  save_state(path, state_dict(*make(options)));
  return path;
}

ModelOptions options_of(const std::string& name) {
  ModelOptions options;
  options.name = name;
  return options;
}

TEST(ModelGuess, EveryRegisteredModelIsFoundByItsTensors) {
  for (const ModelEntry& entry : model_registry()) {
    ModelOptions options = options_of(entry.name);
    options.classes = 7;
    const auto fits = fitting_models(state_dict(*make(options)), "", make_backend("cpu"));
    bool found = false;
    for (const ModelOptions& fit : fits) {
      if (fit.name != entry.name) continue;
      found = true;
      EXPECT_EQ(fit.classes, 7) << entry.name;
      EXPECT_EQ(fit.length, 1000) << entry.name;
    }
    EXPECT_TRUE(found) << entry.name;
  }
}

TEST(ModelGuess, NoteSizeLengthAndBatchNormAreRead) {
  ModelOptions options = options_of("mmcnn_cat");
  options.note_size = 384;
  options.length = 5000;
  options.batch_norm = true;
  const auto fits = fitting_models(state_dict(*make(options)), "", make_backend("cpu"));
  ASSERT_EQ(fits.size(), 1U);
  EXPECT_EQ(fits[0].name, "mmcnn_cat");
  EXPECT_EQ(fits[0].note_size, 384);
  EXPECT_EQ(fits[0].length, 5000);
  EXPECT_TRUE(fits[0].batch_norm);
}

TEST(Predictor, WeightsThatFitNothingAreRefused) {
  const TempFolder folder;
  const auto path = save(folder, options_of("cnn"));
  const std::string unknown = error_of([&] { Predictor({path, "cnnn", {}}); });
  EXPECT_TRUE(unknown.starts_with("model \"cnnn\" is unknown; did you mean \"cnn\"? Known are "))
      << unknown;
  const std::string other = error_of([&] { Predictor({path, "mmcnn_sum", {}}); });
  EXPECT_TRUE(other.starts_with(path.string())) << other;
  EXPECT_NE(other.find("fc_emb.weight"), std::string::npos) << other;

  const auto backend = make_backend("cpu");
  save_state(folder / "x.safetensors", {{"w", Tensor::full(backend, {3}, DType::f32, 1.0)}});
  const std::string none = error_of([&] { Predictor({folder / "x.safetensors", "", {}}); });
  EXPECT_TRUE(none.starts_with((folder / "x.safetensors").string() +
                               " fits none of the models cnn, mmcnn_sum, "))
      << none;
  EXPECT_TRUE(none.ends_with(": name the nearest one by --arch to see what differs")) << none;
}

TEST(Predictor, ClassesOfWeightsAloneMustBeKnown) {
  const TempFolder folder;
  ModelOptions options = options_of("rnn");
  EXPECT_EQ(Predictor({save(folder, options), "", {}}).classes(),
            (std::vector<std::string>{"CD", "HYP", "MI", "NORM", "STTC"}));
  options.classes = 3;
  const auto path = save(folder, options);
  EXPECT_EQ(
      error_of([&] {
        Predictor({path, "", {}});
      }),
      path.string() + " has 3 classes and does not name them: name them by --classes A,B,...");
  EXPECT_EQ(error_of([&] {
              Predictor({path, "", {"A", "B"}});
            }),
            "--classes has 2 names, but " + path.string() + " has 3 classes");
  EXPECT_EQ(Predictor({path, "rnn", {"A", "B", "C"}}).classes().size(), 3U);
}

class PredictorNotes : public ::testing::Test {
 protected:
  PredictorNotes() : path_(save(folder_, options_of("mmrnn"))), predictor_({path_, "", {}}) {}
  std::vector<std::vector<float>> notes(const std::vector<std::filesystem::path>& records,
                                        const NoteOptions& options) const {
    return notes_of(predictor_, records, options);
  }
  std::string error(const std::vector<std::filesystem::path>& records,
                    const NoteOptions& options) const {
    return error_of([&] { notes(records, options); });
  }
  void write_note(const std::string& name, std::int64_t size, float value) const {
    const std::vector<float> values(static_cast<std::size_t>(size), value);
    write_npy(folder_ / name, std::vector<std::int64_t>{size}, values);
  }

  TempFolder folder_;
  std::filesystem::path path_;
  Predictor predictor_;
};

TEST_F(PredictorNotes, AFolderGivesEachRecordItsOwn) {
  std::filesystem::create_directory(folder_ / "notes");
  write_note("notes/a.npy", 768, 1.0F);
  write_note("notes/21.npy", 768, 2.0F);
  const auto found = notes({"x/a.hea", "x/00021_lr.hea", "x/b.hea"}, {"", folder_ / "notes"});
  EXPECT_EQ(found.at(0), std::vector<float>(768, 1.0F));
  EXPECT_EQ(found.at(1), std::vector<float>(768, 2.0F));
  EXPECT_TRUE(found.at(2).empty());
}

TEST_F(PredictorNotes, ASafetensorsFileMayHoldOne) {
  const std::vector<float> values(768, 0.5F);
  write_safetensors(folder_ / "n.safetensors", {{"e", {values.data(), DType::f32, {1, 768}}}});
  EXPECT_EQ(notes({"a.hea"}, {"", folder_ / "n.safetensors"}).at(0), values);
  write_safetensors(folder_ / "n.safetensors", {{"e", {values.data(), DType::f32, {2, 384}}}});
  EXPECT_EQ(error({"a.hea"}, {"", folder_ / "n.safetensors"}),
            (folder_ / "n.safetensors").string() +
                " holds a tensor of f32 [2, 384], where one note is wanted: floating values of "
                "shape [d] or [1, d]");
}

TEST_F(PredictorNotes, WhatDoesNotFitIsRefused) {
  write_note("short.npy", 512, 1.0F);
  EXPECT_EQ(
      error({"a.hea"}, {"", folder_ / "short.npy"}),
      (folder_ / "short.npy").string() + " holds a note of 512 values, but the model wants 768");
  EXPECT_EQ(error({"a.hea", "b.hea"}, {"", folder_ / "short.npy"}),
            "one note is given for 2 records: name a folder with NAME.pt of each record by "
            "--note-embedding");
  EXPECT_EQ(error({"a.hea"}, {"text", {}}),
            path_.string() +
                " is weights alone and cannot read text: give the note's embedding by "
                "--note-embedding");
  const Predictor deaf({save(folder_, options_of("cnn")), "", {}});
  const std::vector<std::filesystem::path> record{"a.hea"};
  EXPECT_EQ(error_of([&] {
              notes_of(deaf, record, {"text", {}});
            }),
            "the model \"cnn\" reads no notes: leave --note and --note-embedding out");
}

TEST(Predictor, RecordsOfAnotherRateOrLengthAreRefused) {
  const TempFolder folder;
  const auto path = save(folder, options_of("cnn"));
  const Predictor predictor({path, "", {}});
  const auto error = [&](double rate, std::size_t length) {
    write_wfdb_record(folder / "r", rate, 1000, standard_leads(),
                      std::vector<std::int16_t>(length * 12, 0));
    return error_of([&] { predictor.read(folder / "r"); });
  };
  const std::string record = (folder / "r.hea").string();
  EXPECT_EQ(error(500, 1000),
            record + " is sampled at 500 Hz, but the model " + path.string() + " wants 100 Hz");
  EXPECT_EQ(error(100, 900),
            record + " has 900 samples a lead, but the model " + path.string() + " wants 1000");
  EXPECT_EQ(error(100, 1000), "");
}

// The probabilities of a run's test folds again, from the record files and the reports' texts.
TEST(Predictor, ACheckpointGivesTheProbabilitiesThatTheRunReported) {
  const testing::SyntheticData data(120);
  const TempFolder folder;
  RunConfig config;
  config.data.path = data.packed().string();
  config.data.standardize = "lead";
  config.data.inputs = {"signal", "notes"};
  config.model.name = "mmcnn_sum";
  config.run.dir = (folder / "run").string();
  config.run.plots = false;
  config.train.epochs = 1;
  config.augment.crop = 8.0;  // evaluation sees the centre of a record, and so must a prediction
  fit(config, true);

  const Predictor predictor({folder / "run", "", {}});
  EXPECT_EQ(predictor.architecture(), "mmcnn_sum");
  const PackedDataset packed(data.packed());
  const LabelTask task = make_task("superdiagnostic", packed.statements());
  const TaskTargets targets = make_targets(task, packed.likelihood());
  const NpyArray expected = read_npy(folder / "run/test_predictions.npy");
  std::int64_t row = 0;
  for (const std::int32_t at : targets.records) {
    if (packed.fold()[static_cast<std::size_t>(at)] != 10) continue;
    const int id = packed.ecg_id()[static_cast<std::size_t>(at)];
    char name[64];
    std::snprintf(name, sizeof name, "records100/%02d000/%05d_lr", id / 1000, id);
    const auto note = predictor.embed(std::string(packed.report(at)));
    const auto probabilities = predictor(predictor.read(data.root() / name), note);
    for (std::size_t c = 0; c < probabilities.size(); ++c) {
      EXPECT_NEAR(probabilities[c],
                  expected.values[static_cast<std::size_t>(row) * probabilities.size() + c], 1e-5);
    }
    ++row;
  }
  EXPECT_EQ(row, expected.shape.at(0));

  const std::string best = (folder / "run/best").string();
  EXPECT_EQ(error_of([&] {
              Predictor({folder / "run/best", "cnn", {}});
            }),
            "--arch is \"cnn\", but " + best + " holds a model \"mmcnn_sum\": leave --arch out");
  EXPECT_EQ(error_of([&] {
              Predictor({folder / "run/best/model.safetensors", "", {"A"}});
            }),
            best + " knows its classes (CD, HYP, MI, NORM, STTC): leave --classes out");
}

}  // namespace
}  // namespace cardiograd
