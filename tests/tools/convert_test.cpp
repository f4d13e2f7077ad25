// cardiograd convert: PyTorch's files to safetensors and JSON.
#include <cstring>
#include <gtest/gtest.h>

#include "data/note_matrix.h"
#include "nn/safetensors.h"
#include "nn/torch_file.h"
#include "tests/support/run_program.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"
#include "tests/support/torch_archive.h"

namespace cardiograd {
namespace {

using testing::dict_op;
using testing::integer_op;
using testing::ProgramResult;
using testing::read_file;
using testing::run_program;
using testing::string_op;
using testing::TempFolder;
using testing::tensor_op;
using testing::torch_archive;
using testing::torch_tensor;

class Convert : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  ProgramResult run(const std::string& in, const std::string& out, bool force = false) const {
    std::vector<std::string> arguments{"convert", in, out};
    if (force) arguments.push_back("--force");
    return run_program("cardiograd", arguments);
  }
  void expect_refusal(const std::string& in, const std::string& out,
                      const std::string& sentence) const {
    const ProgramResult result = run(in, out);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "cardiograd: " + sentence + "\n");
  }

  TempFolder folder_;
};

TEST_F(Convert, WeightsBecomeSafetensorsAndTheRestIsNamed) {
  const std::string floats = tensor_op({6, 0, {2, 3}, {1, 2}, "0"});
  const std::string count = tensor_op({1, 0, {}, {}, "1", "LongStorage"});
  folder_.write("a.pt",
                torch_archive(dict_op({{"epoch", integer_op(7)},
                                       {"note", string_op("good")},
                                       {"model_state_dict", dict_op({{"w", floats}, {"n", count}})},
                                       {"optimizer", "}"}}),
                              {std::string(24, '\1'), std::string("\5\0\0\0\0\0\0\0", 8)}));
  const ProgramResult result = run(path("a.pt"), path("a.safetensors"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(
      result.out.starts_with("tensors   2 with 7 values, from \"model_state_dict\"\n"
                             "metadata  epoch = 7\n"
                             "metadata  note = good\n"
                             "left out  optimizer (a dict)\n"
                             "written   " +
                             path("a.safetensors")))
      << result.out;
  const SafetensorsFile file(folder_ / "a.safetensors");
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}, {"epoch", "7"}, {"note", "good"}}));
  EXPECT_EQ(file.view("w").dims, (Dims{2, 3}));
  EXPECT_EQ(*file.view("n", DType::i32, {}).as<std::int32_t>(), 5);
}

TEST_F(Convert, WhatExistsIsKeptUnlessForced) {
  folder_.write("a.json", "old");
  folder_.write("a.pt", torch_archive("](K\1Ne", {}));
  expect_refusal(path("a.pt"), path("a.json"),
                 path("a.json") + " exists already: choose another name, or replace it by --force");
  EXPECT_EQ(read_file(folder_ / "a.json"), "old");
  EXPECT_EQ(run(path("a.pt"), path("a.json"), true).exit_code, 0);
  EXPECT_EQ(read_file(folder_ / "a.json"), "[\n 1,\n null\n]\n");
}

TEST_F(Convert, MetricsBecomeJson) {
  const std::string metrics = dict_op({{"loss", "](K\3K\2e"}, {"step", "](K\1e"}});
  folder_.write("m.pt", torch_archive(metrics, {}));
  EXPECT_EQ(run(path("m.pt"), path("m.jsonl")).exit_code, 0);
  EXPECT_EQ(read_file(folder_ / "m.jsonl"), "{\"loss\":3,\"step\":1}\n{\"loss\":2}\n");
  folder_.write("t.pt", torch_tensor({1, 2, 3, 4.5}, {2, 2}));
  EXPECT_EQ(run(path("t.pt"), path("t.json")).exit_code, 0);
  EXPECT_EQ(read_file(folder_ / "t.json"), "[\n [\n  1.0,\n  2.0\n ],\n [\n  3.0,\n  4.5\n ]\n]\n");
  expect_refusal(path("t.pt"), path("t.jsonl"),
                 path("t.pt") + " is no dict of lists, as .jsonl needs it; convert it to .json");
}

TEST_F(Convert, EmbeddingsBecomeOneMatrix) {
  folder_.write("e/10.pt", torch_tensor({1, 2}, {1, 2}));
  folder_.write("e/9.pt", torch_tensor({3, 4}, {2}));
  folder_.write("e/readme.txt", "");
  const ProgramResult result = run(path("e"), path("e.safetensors"));
  EXPECT_TRUE(result.out.starts_with("notes     2 of 2 values\nleft out  1 files of other names\n"))
      << result.out;
  const SafetensorsFile file(folder_ / "e.safetensors");
  const auto* ids = file.view("ecg_id", DType::i32, {2}).as<std::int32_t>();
  const auto* notes = file.view("notes", DType::f32, {2, 2}).as<float>();
  EXPECT_EQ(ids[0], 9);
  EXPECT_EQ(notes[0], 3.0F);
  EXPECT_EQ(notes[3], 2.0F);
  folder_.write("e/11.pt", torch_tensor({1, 2, 3}, {3}));
  expect_refusal(path("e"), path("f.safetensors"),
                 path("e/11.pt") + " holds a note of 3 values, but " + path("e/9.pt") + " has 2");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "f.safetensors"));
  std::filesystem::create_directories(folder_ / "none");
  expect_refusal(path("none"), path("f.safetensors"),
                 path("none") + " holds no files named by ecg_id, like 1.pt");
}

TEST_F(Convert, WhatItCannotDoIsSaid) {
  folder_.write("t.pt", torch_tensor({1}, {1}));
  expect_refusal(path("t.pt"), path("t.bin"),
                 path("t.bin") + ": the name must end in .safetensors, .json or .jsonl");
  expect_refusal(path("t.pt"), path("t.safetensors"),
                 path("t.pt") + " holds no dict of tensors; metrics can be converted to .json");
  expect_refusal(folder_.path().string(), path("t.json"),
                 path("t.json") + ": a folder of embeddings is converted to .safetensors");
  folder_.write("evil.pt", torch_archive("cposix\nsystem\n" + string_op("x") + "\x85R", {}));
  expect_refusal(path("evil.pt"), path("t.safetensors"),
                 path("evil.pt") +
                     " names the global \"posix.system\", which this reader does not run: it takes "
                     "tensors, dicts, lists, numbers and strings; load the file where you trust it "
                     "and save the model's state_dict alone");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "t.safetensors"));
}

TEST_F(Convert, TheSeedsModelKeepsEveryBit) {
  const std::string name = "golden/seed/model_MMCNN_CAT.pt";
  CARDIOGRAD_NEEDS_SHARED(name);
  const std::string in = testing::shared_path(name).string();
  ASSERT_EQ(run(in, path("m.safetensors")).exit_code, 0);
  const SafetensorsFile file(folder_ / "m.safetensors");
  const TorchValue value = read_torch_file(in);
  const TorchValue& state = *value.find("model_state_dict");
  ASSERT_EQ(file.names().size(), state.entries().size());
  for (const TorchEntry& entry : state.entries()) {
    const ConstView view =
        file.view(entry.key.as_string(), DType::f32, entry.value.as_tensor().dims());
    const std::vector<std::byte> bytes = entry.value.as_tensor().contiguous_bytes();
    EXPECT_EQ(std::memcmp(view.data, bytes.data(), bytes.size()), 0) << entry.key.as_string();
  }
}

}  // namespace
}  // namespace cardiograd
