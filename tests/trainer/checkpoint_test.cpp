#include "trainer/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/notes.h"
#include "kernels/backend.h"
#include "models/registry.h"
#include "nn/ops.h"
#include "nn/random.h"
#include "tests/support/file_size_limit.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::FileSizeLimit;
using testing::read_file;
using testing::TempFolder;
using Names = std::vector<std::string>;

constexpr std::int64_t length = 200;

ModelOptions small_options(std::int64_t classes = 2) {
  ModelOptions options;
  options.classes = classes;
  options.length = length;
  return options;
}

// A small CNN and its optimizer, one step after the start.
struct Trained {
  std::shared_ptr<Backend> backend = make_backend("cpu");
  std::unique_ptr<Classifier> model;
  FlatParameters parameters;
  Optimizer optimizer;

  explicit Trained(std::uint64_t seed, std::int64_t classes = 2)
      : model(make(backend, seed, classes)),
        parameters(*model),
        optimizer(optimizer_defaults("adam"), parameters) {
    const std::vector<float> ones(length * 12, 1.0F);
    const Tensor x = Tensor::from_host<float>(backend, {1, length, 12}, DType::f32, ones);
    const Tensor zeros = Tensor::from_host<float>(
        backend, {1, classes}, DType::f32, std::vector<float>(static_cast<std::size_t>(classes)));
    parameters.zero_grad();
    bce_with_logits(model->forward({x, {}}), zeros, {}).backward();
    optimizer.step();
  }
  static std::unique_ptr<Classifier> make(const std::shared_ptr<Backend>& backend,
                                          std::uint64_t seed, std::int64_t classes) {
    TorchGenerator random(seed);
    return find_model("cnn").make({backend, DType::f32, &random}, small_options(classes));
  }
};

TrainingState some_state() {
  TrainingState state;
  state.epoch = 3;
  state.step = 120;
  state.seed = 4294967295;
  state.valid_loss = 0.1 + 0.2;
  state.valid_auroc = std::nan("");
  state.task = "rhythm";
  state.classes = {"AFIB", "SR"};
  state.model = small_options();
  state.model.dropout = 0.25;
  state.model.batch_norm = true;
  state.model.layers = 2;
  state.model.heads = 8;
  state.model.width = 96;
  state.model.feedforward = 100;
  state.model.token_stride = 5;
  state.model.levels = 64;
  state.model.amplitude = 2.5;
  state.standardisation = {std::vector<float>(12, 0.1F), std::vector<float>(12, 0.3F)};
  state.denoise = DenoiseSpec{2, 1, true, 0.5};
  state.progress = {48, 40, 0.1 + 0.7, 1.5};
  state.best = {2, -0.75};
  state.faults = {8, 1, 2, 0.25};
  state.seconds = 12.25;
  state.train_examples = 64;
  state.data = "some records";
  state.log_bytes = 1234567890123;
  return state;
}

std::vector<float> values(const Module& module) {
  std::vector<float> all;
  for (const StateEntry& entry : state_dict(module)) {
    const std::vector<float> part = entry.value.to_vector<float>();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

Names files_in(const std::filesystem::path& folder) {
  Names names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<float> read_back(const TempFolder& folder, const Trained& saved,
                             const TrainingState& state) {
  save_checkpoint(folder / "best", {*saved.model, nullptr, state, ""});
  return read_training_state(folder / "best").note_idf;
}

const Names all_parts{"config.toml", "model.safetensors", "optimizer.safetensors", "state.json"};

TEST(Checkpoint, ReadsBackWhatWasSaved) {
  const TempFolder folder;
  const Trained saved(1);
  save_checkpoint(folder / "best", {*saved.model, &saved.optimizer, some_state(), "threads = 3\n"});
  EXPECT_EQ(files_in(folder / "best"), all_parts);
  EXPECT_EQ(read_file(folder / "best/config.toml"), "threads = 3\n");

  const TrainingState state = read_training_state(folder / "best");
  EXPECT_EQ(state.epoch, 3);
  EXPECT_EQ(state.step, 120);
  EXPECT_EQ(state.seed, 4294967295);
  EXPECT_EQ(state.valid_loss, 0.1 + 0.2);
  EXPECT_TRUE(std::isnan(state.valid_auroc));
  EXPECT_EQ(state.task, "rhythm");
  EXPECT_EQ(state.classes, (Names{"AFIB", "SR"}));
  EXPECT_EQ(state.model.name, "cnn");
  EXPECT_EQ(state.model.classes, 2);
  EXPECT_EQ(state.model.length, length);
  EXPECT_EQ(state.model.dropout, 0.25);
  EXPECT_TRUE(state.model == some_state().model);
  EXPECT_EQ(state.standardisation.mean, std::vector<float>(12, 0.1F));
  EXPECT_EQ(state.standardisation.std, std::vector<float>(12, 0.3F));
  EXPECT_EQ(state.denoise, (DenoiseSpec{2, 1, true, 0.5}));
  EXPECT_EQ(to_json(state), to_json(some_state()));

  Trained other(2);
  ASSERT_NE(values(*other.model), values(*saved.model));
  load_model(folder / "best", *other.model, other.backend);
  EXPECT_EQ(values(*other.model), values(*saved.model));
  const std::string path = (folder / "best/optimizer.safetensors").string();
  other.optimizer.load_state_dict(read_state(path, other.backend), path);
  EXPECT_EQ(other.optimizer.steps(), 1);
}

TEST(Checkpoint, KeepsWhatEmbedsNotes) {
  const TempFolder folder;
  const Trained saved(1);
  TrainingState state = some_state();
  EXPECT_TRUE(read_back(folder, saved, state).empty());
  EXPECT_FALSE(std::filesystem::exists(folder / "best/notes.safetensors"));
  state.note_idf.assign(note_buckets, 0.5F);
  state.note_idf[7] = 3.0F;
  EXPECT_EQ(read_back(folder, saved, state), state.note_idf);
  const std::vector<float> few(3, 1.0F);
  write_safetensors(folder / "best/notes.safetensors",
                    {{"note_idf", {few.data(), DType::f32, {3}}}});
  EXPECT_EQ(error_of([&] { read_training_state(folder / "best"); }),
            (folder / "best/notes.safetensors").string() +
                ": tensor \"note_idf\" is f32 [3], where f32 [65536] is expected");
}

TEST(Checkpoint, ReplacesTheOldOneWhole) {
  const TempFolder folder;
  const Trained first(1), second(2);
  TrainingState state = some_state();
  save_checkpoint(folder / "last", {*first.model, &first.optimizer, state, "a"});
  state.epoch = 4;
  save_checkpoint(folder / "last", {*second.model, nullptr, state, "b"});
  EXPECT_EQ(files_in(folder.path()), Names{"last"});
  EXPECT_EQ(files_in(folder / "last"), (Names{"config.toml", "model.safetensors", "state.json"}))
      << "nothing of the old one stays";
  EXPECT_EQ(read_training_state(folder / "last").epoch, 4);

  state.epoch = 5;
  save_checkpoint(folder / "last", {*second.model, nullptr, state, "c"}, folder / "former");
  EXPECT_EQ(files_in(folder.path()), (Names{"former", "last"}));
  EXPECT_EQ(read_file(folder / "former/config.toml"), "b");
  EXPECT_EQ(read_file(folder / "last/config.toml"), "c");
}

TEST(Checkpoint, RemovesWhatAnInterruptedRunLeft) {
  const TempFolder folder;
  folder.write("last.writing/rubbish", "x");
  const Trained trained(1);
  save_checkpoint(folder / "last", {*trained.model, nullptr, some_state(), ""});
  EXPECT_EQ(files_in(folder.path()), Names{"last"});
  EXPECT_EQ(files_in(folder / "last").size(), 3U);
}

TEST(Checkpoint, AWriteThatFailsKeepsTheOldOne) {
  const TempFolder folder;
  const Trained first(1), second(2);
  save_checkpoint(folder / "last", {*first.model, &first.optimizer, some_state(), "a"});
  std::string error;
  {
    const FileSizeLimit limit(10'000);
    error = error_of([&] {
      save_checkpoint(folder / "last", {*second.model, &second.optimizer, some_state(), "b"});
    });
  }
  EXPECT_EQ(error, "cannot write " + (folder / "last.writing/model.safetensors").string() +
                       ": File too large");
  EXPECT_EQ(files_in(folder.path()), Names{"last"});
  EXPECT_EQ(files_in(folder / "last"), all_parts);
  EXPECT_EQ(read_file(folder / "last/config.toml"), "a");
  Trained loaded(3);
  load_model(folder / "last", *loaded.model, loaded.backend);
  EXPECT_EQ(values(*loaded.model), values(*first.model));
}

TEST(Checkpoint, AFolderThatCannotBeMadeIsNamed) {
  const TempFolder folder;
  folder.write("file", "x");
  const Trained trained(1);
  EXPECT_EQ(
      error_of([&] {
        save_checkpoint(folder / "file/best", {*trained.model, nullptr, some_state(), ""});
      }),
      "checkpoint " + (folder / "file/best").string() + " cannot be written: Not a directory");
}

// A saved checkpoint, one part of it spoilt.
class Spoilt {
 public:
  Spoilt() { save_checkpoint(folder_ / "run/best", {*trained_.model, nullptr, some_state(), ""}); }
  std::string part(const char* name) const { return (folder_ / "run/best" / name).string(); }
  void write(const char* name, std::string_view text) const {
    folder_.write(std::string("run/best/") + name, text);
  }
  void edit(const char* name, const std::string& from, const std::string& to) const {
    std::string text = read_file(part(name));
    ASSERT_NE(text.find(from), std::string::npos) << from;
    write(name, text.replace(text.find(from), from.size(), to));
  }
  std::string state_error() const {
    return error_of([&] { read_training_state(folder_ / "run/best"); });
  }
  std::string model_error(std::int64_t classes = 2) const {
    Trained other(2, classes);
    return error_of([&] { load_model(folder_ / "run/best", *other.model, other.backend); });
  }
  std::string run() const { return (folder_ / "run").string(); }

 private:
  TempFolder folder_;
  Trained trained_{1};
};

TEST(Checkpoint, EachFaultOfItsStateIsNamed) {
  const Spoilt truncated;
  truncated.write("state.json", "{\"format\": ");
  EXPECT_TRUE(truncated.state_error().starts_with(truncated.part("state.json")))
      << truncated.state_error();
  EXPECT_EQ(truncated.state_error().find("json.exception"), std::string::npos);

  const Spoilt missing;
  std::filesystem::remove(missing.part("state.json"));
  EXPECT_EQ(missing.state_error(), missing.part("state.json") + " does not exist: is " +
                                       missing.run() + " the folder of a finished run?");
  const auto says = [](const Spoilt& spoilt, const std::string& sentence) {
    EXPECT_EQ(spoilt.state_error(),
              spoilt.part("state.json") + " is not the state of a checkpoint: " + sentence);
  };
  const Spoilt format;
  format.edit("state.json", "cardiograd-checkpoint", "cardiogram");
  says(format, "its format is not what this program writes");
  const Spoilt newer;
  newer.edit("state.json", "\"version\": 3", "\"version\": 4");
  says(newer,
       "it was written by a newer version of this program (format 4, this one reads up to 3); use "
       "that one");
  const Spoilt zero;
  zero.edit("state.json", "\"version\": 3", "\"version\": 0");
  says(zero, "there is no version 0");
  const Spoilt counts;
  counts.edit("state.json", "\"trained\": 40", "\"trained\": 49");
  says(counts, "its counts of steps, epochs and records contradict each other");
  const Spoilt number;
  number.edit("state.json", "\"score\": -0.75", "\"score\": \"much\"");
  says(number, "a number is \"much\"");
  const Spoilt field;
  field.edit("state.json", "\"epoch\"", "\"epochs\"");
  says(field, "a field is missing or of another type");
  const Spoilt type;
  type.edit("state.json", "\"epoch\": 3", "\"epoch\": \"three\"");
  says(type, "a field is missing or of another type");
  const Spoilt leads;
  leads.edit("state.json", "\"mean\": [", "\"mean\": [ 0.5,");
  says(leads, "standardisation does not list 12 leads or none");
  const Spoilt transformer;
  transformer.edit("state.json", "\"token_stride\": 5", "\"token_stride\": []");
  says(transformer, "a field is missing or of another type");
  const Spoilt list;
  list.write("state.json", "[]");
  says(list, "a field is missing or of another type");
}

TEST(Checkpoint, NumbersOfTheStateKeepTheirBits) {
  const TempFolder folder;
  const Trained saved(1);
  TrainingState state = some_state();
  state.valid_loss = std::numeric_limits<double>::infinity();
  state.best.score = -std::numeric_limits<double>::infinity();
  state.progress.loss_sum = std::nextafter(1.0, 2.0);
  save_checkpoint(folder / "last", {*saved.model, nullptr, state, ""});
  const TrainingState read = read_training_state(folder / "last");
  EXPECT_EQ(read.valid_loss, state.valid_loss);
  EXPECT_EQ(read.best.score, state.best.score);
  EXPECT_EQ(read.progress.loss_sum, state.progress.loss_sum);
  EXPECT_EQ(read.progress.position, 48);
  EXPECT_EQ(read.faults.lr_factor, 0.25);
}

// Of version 1, which knew no position in the epoch.
TEST(Checkpoint, AnOldStateIsReadButNotResumedFrom) {
  const TempFolder folder;
  Trained saved(1);
  save_checkpoint(folder / "last", {*saved.model, &saved.optimizer, some_state(), ""});
  nlohmann::json old = nlohmann::json::parse(read_file(folder / "last/state.json"));
  old["version"] = 1;
  for (const char* key :
       {"progress", "best", "faults", "seconds", "train_examples", "data", "log_bytes"}) {
    ASSERT_EQ(old.erase(key), 1U) << key;
  }
  folder.write("last/state.json", old.dump());
  EXPECT_EQ(read_training_state(folder / "last").epoch, 3);
  EXPECT_EQ(error_of([&] {
              load_checkpoint(folder / "last", *saved.model, saved.optimizer, saved.backend);
            }),
            (folder / "last/state.json").string() +
                " was written by an older version of this program and does not say where in the "
                "epoch it stands: start a new run from its weights with train.init");
}

TEST(Checkpoint, OneWithoutAPartIsNotResumedFrom) {
  for (const char* part : {"state.json", "model.safetensors", "optimizer.safetensors"}) {
    const TempFolder folder;
    Trained trained(1);
    save_checkpoint(folder / "last", {*trained.model, &trained.optimizer, some_state(), ""});
    std::filesystem::remove(folder / ("last/" + std::string(part)));
    EXPECT_EQ(error_of([&] {
                load_checkpoint(folder / "last", *trained.model, trained.optimizer,
                                trained.backend);
              }),
              (folder / "last" / part).string() +
                  " is missing, so that the checkpoint is not whole: bring it back, or remove " +
                  (folder / "last").string() +
                  " to go on from an older checkpoint or from the beginning");
  }
}

TEST(Checkpoint, PartsOfTwoCheckpointsAreNotMixed) {
  const TempFolder folder;
  Trained trained(1);  // its optimizer has done one step
  save_checkpoint(folder / "last", {*trained.model, &trained.optimizer, some_state(), ""});
  const auto error = [&] {
    return error_of([&] {
      load_checkpoint(folder / "last", *trained.model, trained.optimizer, trained.backend);
    });
  };
  EXPECT_EQ(error(), (folder / "last/optimizer.safetensors").string() + " is of step 1, " +
                         (folder / "last/state.json").string() +
                         " of step 120: they are of two checkpoints");
  std::filesystem::resize_file(folder / "last/optimizer.safetensors", 5000);
  EXPECT_TRUE(error().starts_with((folder / "last/optimizer.safetensors").string())) << error();
}

TEST(Checkpoint, EachFaultOfItsModelIsNamed) {
  const Spoilt missing;
  std::filesystem::remove(missing.part("model.safetensors"));
  EXPECT_EQ(missing.model_error(),
            "cannot open " + missing.part("model.safetensors") + ": No such file or directory");
  const Spoilt truncated;
  std::filesystem::resize_file(truncated.part("model.safetensors"), 5000);
  EXPECT_TRUE(truncated.model_error().starts_with(truncated.part("model.safetensors")))
      << truncated.model_error();
  const Spoilt other;
  const std::string error = other.model_error(3);
  EXPECT_TRUE(error.starts_with(other.part("model.safetensors"))) << error;
  EXPECT_NE(error.find("[2]"), std::string::npos) << error;
  EXPECT_NE(error.find("[3]"), std::string::npos) << error;
}

}  // namespace
}  // namespace cardiograd
