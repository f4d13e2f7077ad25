#include "data/packed.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::TempFolder;

// The parts of a valid file with one record, to be spoilt one at a time.
struct Parts {
  std::vector<std::int16_t> signal = std::vector<std::int16_t>(24);
  std::vector<float> likelihood = {-1};
  float age = 50;
  std::int32_t id = 1;
  std::vector<std::int32_t> offsets = {0, 2};
  std::vector<std::uint8_t> bytes = {'o', 'k'};
  std::uint8_t one = 1;
  Metadata metadata = packed_metadata({100,
                                       std::vector<float>(12, 1000.0F),
                                       {{"NORM", "normal", true, false, false, "N", "N"}},
                                       "x"});
  std::vector<NamedView> tensors = {{"signal", {signal.data(), DType::i16, {1, 2, 12}}},
                                    {"likelihood", {likelihood.data(), DType::f32, {1, 1}}},
                                    {"age", {&age, DType::f32, {1}}},
                                    {"ecg_id", {&id, DType::i32, {1}}},
                                    {"patient_id", {&id, DType::i32, {1}}},
                                    {"report_offsets", {offsets.data(), DType::i32, {2}}},
                                    {"fold", {&one, DType::u8, {1}}},
                                    {"sex", {&one, DType::u8, {1}}},
                                    {"validated", {&one, DType::u8, {1}}},
                                    {"report_bytes", {bytes.data(), DType::u8, {2}}}};

  Parts() = default;
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  ConstView& tensor(const std::string& name) {
    return std::find_if(tensors.begin(), tensors.end(),
                        [&](const NamedView& t) { return t.name == name; })
        ->view;
  }
  // What opening the file says, after its path.
  std::string error() const {
    const TempFolder folder;
    write_safetensors(folder / "p", tensors, metadata);
    const std::string path = (folder / "p").string();
    const std::string what = error_of([&] { PackedDataset(folder / "p"); });
    return what.starts_with(path) ? what.substr(path.size()) : what;
  }
};

TEST(Packed, AValidFileOpensWithoutNotes) {
  const TempFolder folder;
  const Parts parts;
  write_safetensors(folder / "p", parts.tensors, parts.metadata);
  const PackedDataset packed(folder / "p");
  EXPECT_EQ(packed.records(), 1);
  EXPECT_EQ(packed.length(), 2);
  EXPECT_EQ(packed.report(0), "ok");
  EXPECT_FALSE(packed.has_notes());
  EXPECT_EQ(error_of([&] { packed.notes(); }),
            (folder / "p").string() + " has no tensor \"notes\"");
  EXPECT_THROW(packed.signal(1), ShapeError);
  EXPECT_THROW(packed.report(-1), ShapeError);
  const ScpStatement& statement = packed.statements().front();
  EXPECT_EQ(statement.code + statement.description + statement.diagnostic_class, "NORMnormalN");
  EXPECT_TRUE(statement.diagnostic);
}

TEST(Packed, EachMissingTensorIsNamed) {
  const Parts whole;
  for (std::size_t i = 0; i < whole.tensors.size(); ++i) {
    Parts parts;
    parts.tensors.erase(parts.tensors.begin() + static_cast<long>(i));
    EXPECT_EQ(parts.error(), " has no tensor \"" + whole.tensors[i].name + "\"");
  }
}

TEST(Packed, WrongShapesAndValuesAreNamed) {
  {
    Parts parts;
    parts.tensor("signal").dims = {2, 12};
    parts.tensor("signal").dims = {1, 4, 6};
    EXPECT_EQ(parts.error(),
              ": tensor \"signal\" is i16 [1, 4, 6], where i16 [records, length, 12] is expected");
  }
  {
    Parts parts;
    parts.tensor("age").dims = {1, 1};
    EXPECT_EQ(parts.error(), ": tensor \"age\" is f32 [1, 1], where f32 [1] is expected");
  }
  {
    Parts parts;
    parts.tensor("fold").dtype = DType::i16;
    parts.tensor("fold").dims = {0};
    EXPECT_EQ(parts.error(), ": tensor \"fold\" is i16 [0], where u8 [1] is expected");
  }
  {
    Parts parts;
    parts.one = 11;
    EXPECT_EQ(parts.error(), ": tensor \"fold\" has the value 11, where 1 to 10 are expected");
  }
  for (const std::vector<std::int32_t>& offsets :
       {std::vector<std::int32_t>{0, 3}, {1, 2}, {0, 1}, {2, 0}}) {
    Parts parts;
    std::copy(offsets.begin(), offsets.end(), parts.offsets.begin());
    EXPECT_EQ(parts.error(),
              ": tensor \"report_offsets\" does not ascend from 0 to the length of "
              "\"report_bytes\"");
  }
  {
    Parts parts;
    const float note = 0;
    parts.tensors.push_back({"notes", {&note, DType::f32, {1, 1}}});
    EXPECT_EQ(parts.error(), ": tensor \"notes\" is f32 [1, 1], where f32 [1, 768] is expected");
  }
}

TEST(Packed, WrongMetadataIsNamed) {
  const struct {
    const char* key;
    const char* value;
    const char* error;
  } cases[] = {
      {"format", "other", " is no packed data set; make one with cardiograd prepare"},
      {"version", "2",
       " is a packed data set of version \"2\", but this program reads version 1; make it again "
       "with cardiograd prepare"},
      {"rate", "fast", ": the metadata \"rate\" is no number of samples per second"},
      {"leads", "[\"I\"]",
       ": the metadata \"leads\" is not I, II, III, AVR, AVL, AVF, V1, V2, V3, V4, V5, V6"},
      {"leads", "7", ": the metadata \"leads\" has an unexpected shape"},
      {"leads", "[", ": its JSON cannot be read at byte 2"},
      {"adc_gain", "[0]", ": the metadata \"adc_gain\" is not 12 numbers other than 0"},
      {"statements", "[{}]", ": the metadata \"statements\" has an unexpected shape"},
  };
  for (const auto& [key, value, error] : cases) {
    Parts parts;
    parts.metadata[key] = value;
    EXPECT_EQ(parts.error(), error) << key;
  }
  for (const char* key :
       {"format", "version", "rate", "leads", "adc_gain", "statements", "source"}) {
    Parts parts;
    parts.metadata.erase(key);
    EXPECT_EQ(parts.error(), " has no metadata \"" + std::string(key) +
                                 "\"; it is no packed data set, make one with cardiograd prepare");
  }
}

}  // namespace
}  // namespace cardiograd
