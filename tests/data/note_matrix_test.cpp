#include "data/note_matrix.h"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

#include "data/batches.h"
#include "data/npy.h"
#include "tests/support/shared_data.h"
#include "tests/support/small_packed.h"
#include "tests/support/temp_folder.h"
#include "tests/support/torch_archive.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::SmallPacked;
using testing::TempFolder;
using testing::torch_archive;
using testing::torch_tensor;
using Floats = std::vector<float>;

// Records 0 .. 3 with the ecg_ids 100 .. 103.
class NoteSources : public ::testing::Test {
 protected:
  void SetUp() override {
    packed_.notes.assign(4 * note_dimensions, 0.0F);
    packed_.notes[2 * note_dimensions + 5] = 2.0F;
    dataset_ = std::make_shared<PackedDataset>(packed_.write(folder_ / "packed"));
  }
  Floats row(const NoteMatrix& notes, std::int64_t record) const {
    const auto values = notes.row(record);
    return {values.begin(), values.end()};
  }
  NoteMatrix read(const std::string& name) const {
    return NoteMatrix::read(folder_ / name, *dataset_);
  }
  std::string read_error(const std::string& name) const {
    return error_of([&] { read(name); });
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write_rows(const std::string& name, const Floats& notes, std::int64_t rows,
                  const std::vector<std::int32_t>& ids = {}) const {
    const auto size = static_cast<std::int64_t>(notes.size()) / rows;
    std::vector<NamedView> tensors{{"notes", {notes.data(), DType::f32, {rows, size}}}};
    if (!ids.empty()) tensors.push_back({"ecg_id", {ids.data(), DType::i32, {rows}}});
    write_safetensors(folder_ / name, tensors);
  }

  TempFolder folder_;
  SmallPacked packed_{4, 10};
  std::shared_ptr<const PackedDataset> dataset_;
};

TEST_F(NoteSources, ThePackedFilesOwn) {
  const NoteMatrix notes = NoteMatrix::of(dataset_);
  EXPECT_EQ(notes.size(), 768);
  EXPECT_EQ(notes.records(), 4);
  EXPECT_EQ(notes.row(2)[5], 2.0F);
  EXPECT_EQ(notes.missing(), 3);
}

TEST_F(NoteSources, AFolderOfTorchFiles) {
  folder_.write("n/100.pt", torch_tensor({1, 2, 3}, {3}));
  folder_.write("n/102.pt", torch_tensor({4, 5, 6}, {1, 3}));
  folder_.write("n/7.pt", torch_tensor({9}, {1}));
  const NoteMatrix notes = read("n");
  EXPECT_EQ(notes.size(), 3);
  EXPECT_EQ(row(notes, 0), (Floats{1, 2, 3}));
  EXPECT_EQ(row(notes, 1), (Floats{0, 0, 0}));
  EXPECT_EQ(row(notes, 2), (Floats{4, 5, 6}));
  EXPECT_EQ(notes.missing(), 2);
}

TEST_F(NoteSources, AFoldersBadFilesAreNamed) {
  folder_.write("n/100.pt", torch_tensor({1, 2, 3}, {3}));
  folder_.write("n/101.pt", torch_tensor({1, 2}, {2}));
  EXPECT_EQ(read_error("n"),
            path("n/101.pt") + " holds a note of 2 values, but " + path("n/100.pt") + " has 3");
  folder_.write("n/101.pt", torch_tensor({1, std::nanf(""), 3}, {3}));
  EXPECT_EQ(read_error("n"), path("n/101.pt") + " has a value that is nan, at position 1");
  folder_.write("n/101.pt", torch_tensor({1, 2, -std::numeric_limits<float>::infinity()}, {3}));
  EXPECT_EQ(read_error("n"), path("n/101.pt") + " has a value that is infinite, at position 2");
  folder_.write("n/101.pt", torch_tensor({1, 2, 3, 4, 5, 6}, {2, 3}));
  EXPECT_EQ(read_error("n"), path("n/101.pt") +
                                 " holds a tensor of float32 [2, 3], where one note is wanted: "
                                 "floating values of shape [d] or [1, d]");
  folder_.write("n/101.pt", torch_archive("]", {}));
  EXPECT_EQ(read_error("n"), path("n/101.pt") +
                                 " holds a list, where one note is wanted: floating values of "
                                 "shape [d] or [1, d]");
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_EQ(read_error("empty"), path("empty") + " has no note of any record of " + path("packed") +
                                     ": notes are found by ecg_id");
  EXPECT_EQ(read_error("none"), "data.notes: " + path("none") +
                                    " does not exist; a folder of ECG_ID.pt files, a .safetensors "
                                    "or an .npy file is wanted");
}

TEST_F(NoteSources, ASafetensorsMatrix) {
  write_rows("ids", {1, 2, 3, 4, 5, 6}, 3, {103, 9, 101});
  const NoteMatrix by_id = read("ids");
  EXPECT_EQ(by_id.size(), 2);
  EXPECT_EQ(row(by_id, 3), (Floats{1, 2}));
  EXPECT_EQ(row(by_id, 1), (Floats{5, 6}));
  EXPECT_EQ(row(by_id, 0), (Floats{0, 0}));
  EXPECT_EQ(by_id.missing(), 2);
  write_rows("order", {1, 2, 3, 4}, 4);
  EXPECT_EQ(row(read("order"), 3), (Floats{4}));
  const double wide[] = {1, 2, 3, 4};
  write_safetensors(folder_ / "wide", {{"notes", {wide, DType::f64, {4, 1}}}});
  EXPECT_EQ(row(read("wide"), 2), (Floats{3}));
  write_rows("short", {1, 2, 3}, 3);
  EXPECT_EQ(read_error("short"),
            path("short") + " has 3 notes, but " + path("packed") +
                " has 4 records; a safetensors file with the tensors notes and ecg_id may have "
                "any");
  write_rows("twice", {1, 2}, 2, {100, 100});
  EXPECT_EQ(read_error("twice"), path("twice") + " has two notes of ecg_id 100");
  write_rows("nan", {1, std::nanf("")}, 2, {100, 102});
  EXPECT_EQ(read_error("nan"), path("nan") +
                                   ": the note of ecg_id 102 has a value that is nan, at position "
                                   "0");
  write_rows("others", {1, 2}, 2, {1, 2});
  EXPECT_EQ(read_error("others").find("has no note of any record") != std::string::npos, true);
  write_safetensors(folder_ / "vector", {{"notes", {wide, DType::f64, {4}}}});
  EXPECT_EQ(read_error("vector"),
            path("vector") + ": tensor \"notes\" is f64 [4], where floating [n, size] is expected");
}

TEST_F(NoteSources, AnNpyMatrix) {
  write_npy(folder_ / "m.npy", std::vector<std::int64_t>{4, 2}, Floats{1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(row(read("m.npy"), 3), (Floats{7, 8}));
  write_npy(folder_ / "s.npy", std::vector<std::int64_t>{2, 2}, Floats{1, 2, 3, 4});
  EXPECT_TRUE(read_error("s.npy").starts_with(path("s.npy") + " has 2 notes, but "));
  write_npy(folder_ / "v.npy", std::vector<std::int64_t>{4}, Floats{1, 2, 3, 4});
  EXPECT_EQ(read_error("v.npy"),
            path("v.npy") +
                " holds an array of shape [4], where floating values of shape [records, size] are "
                "wanted");
  EXPECT_EQ(read_note(folder_ / "v.npy"), (Floats{1, 2, 3, 4}));
}

TEST_F(NoteSources, BatchesHoldThem) {
  write_rows("ids", {1, 2, 3, 4}, 2, {101, 100});
  const auto notes = std::make_shared<const NoteMatrix>(read("ids"));
  const ExampleSource source(
      dataset_, make_task("superdiagnostic", dataset_->statements()),
      {.signal = false, .notes = true, .standardisation = {}, .note_matrix = notes},
      make_backend("cpu"));
  EXPECT_EQ(source.notes(), notes.get());
  const Batch batch = source.make(std::vector<std::int32_t>{0, 1, 2});  // records 0, 1 and 3
  EXPECT_EQ(batch.notes.dims(), (Dims{3, 2}));
  EXPECT_EQ(batch.notes.to_vector<float>(), (Floats{3, 4, 1, 2, 0, 0}));
}

TEST(NoteFiles, TheSeedsEmbeddings) {
  CARDIOGRAD_NEEDS_SHARED("golden/seed");
  const SafetensorsFile expected(testing::shared_path("golden/seed/expected.safetensors"));
  const auto* notes = expected.view("notes").as<float>();
  for (int id = 1; id <= 8; ++id) {
    const Floats note =
        read_note(testing::shared_path("golden/seed/embeddings/" + std::to_string(id) + ".pt"));
    ASSERT_EQ(note.size(), 768U);
    EXPECT_TRUE(std::equal(note.begin(), note.end(), notes + (id - 1) * 768)) << id;
  }
}

}  // namespace
}  // namespace cardiograd
