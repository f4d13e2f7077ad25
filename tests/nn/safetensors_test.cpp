#include "nn/safetensors.h"

#include <cstring>
#include <gtest/gtest.h>
#include <numeric>
#include <signal.h>
#include <sys/resource.h>

#include "tests/support/shared_data.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using testing::error_of;
using testing::read_file;
using testing::TempFolder;

// A file's bytes from a header's text and `data` zero bytes.
std::string file_with(const std::string& header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\0');
}

std::string header_error(const std::string& header, std::size_t data) {
  const std::string bytes = file_with(header, data);
  return error_of([&] { parse_safetensors_header(std::as_bytes(std::span(bytes)), "x"); });
}

std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(Safetensors, EveryDtypeScalarsAndEmptyTensorsComeBack) {
  const TempFolder folder;
  const double f64 = 2.5;
  const float f32[] = {1, -2, 3};
  const BFloat16 bf16[] = {BFloat16(1.5F), BFloat16(-4.0F)};
  const std::int16_t i16[] = {-32768, 5};
  const std::int32_t i32[] = {7};
  const std::uint8_t u8[] = {1, 2, 255};
  write_safetensors(folder / "a",
                    {{"u8", {u8, DType::u8, {3}}},
                     {"i16", {i16, DType::i16, {2, 1}}},
                     {"bf16", {bf16, DType::bf16, {1, 2}}},
                     {"f32", {f32, DType::f32, {3}}},
                     {"i32", {i32, DType::i32, {1, 1, 1, 1, 1, 1}}},
                     {"f64", {&f64, DType::f64, {}}},
                     {"none", {f32, DType::f32, {0, 4}}}},
                    {{"key", "value \"quoted\""}});
  const SafetensorsFile file(folder / "a");
  EXPECT_EQ(file.metadata(), (Metadata{{"key", "value \"quoted\""}}));
  EXPECT_EQ(file.names().size(), 7U);
  EXPECT_EQ(file.names().front(), "f64") << "wide dtypes lie first";
  EXPECT_EQ(file.view("f64").dims.rank(), 0);
  EXPECT_EQ(*file.view("f64").as<double>(), 2.5);
  EXPECT_EQ(std::memcmp(file.view("f32", DType::f32, {3}).data, f32, sizeof f32), 0);
  EXPECT_EQ(static_cast<float>(file.view("bf16").as<BFloat16>()[1]), -4.0F);
  EXPECT_EQ(file.view("i16").as<std::int16_t>()[0], -32768);
  EXPECT_EQ(file.view("i32").as<std::int32_t>()[0], 7);
  EXPECT_EQ(file.view("u8").as<std::uint8_t>()[2], 255);
  EXPECT_EQ(file.view("none").dims, (Dims{0, 4}));
  EXPECT_TRUE(file.view("none").present());
  const auto data = reinterpret_cast<std::uintptr_t>(file.view("f64").data);
  EXPECT_EQ(data % 64, 0U) << "the data begins at a multiple of 64 bytes";
}

TEST(Safetensors, AskingForWhatIsNotThereNamesFileAndTensor) {
  const TempFolder folder;
  const float value = 1;
  write_safetensors(folder / "a", {{"w", {&value, DType::f32, {1}}}});
  const SafetensorsFile file(folder / "a");
  const std::string path = (folder / "a").string();
  EXPECT_EQ(error_of([&] { file.view("v"); }), path + " has no tensor \"v\"");
  EXPECT_EQ(error_of([&] { file.view("w", DType::f32, {2}); }),
            path + ": tensor \"w\" is f32 [1], where f32 [2] is expected");
  EXPECT_EQ(error_of([&] { SafetensorsFile(folder / "b"); }),
            "cannot open " + (folder / "b").string() + ": No such file or directory");
  EXPECT_EQ(error_of([&] { SafetensorsFile(folder.path()); }),
            "cannot read " + folder.path().string() + ": it is not a regular file");
}

TEST(Safetensors, SixtyFourBitAndMisalignedTensorsAreReadable) {
  const TempFolder folder;
  // The header's length is odd, so the float lies at an odd address.
  std::string header = "{\"f\":" + tensor("F32", "[1]", "[0,4]") +
                       ",\"n\":" + tensor("I64", "[1]", "[4,12]") +
                       ",\"m\":" + tensor("I64", "[]", "[12,20]") + "}";
  if (header.size() % 2 == 0) header += ' ';
  std::string bytes = file_with(header, 20);
  const float f = 1.25F;
  const std::int64_t n = -3, m = std::int64_t{1} << 40;
  std::memcpy(&bytes[bytes.size() - 20], &f, 4);
  std::memcpy(&bytes[bytes.size() - 16], &n, 8);
  std::memcpy(&bytes[bytes.size() - 8], &m, 8);
  const SafetensorsFile file(folder.write("a", bytes));
  EXPECT_EQ(*file.view("f").as<float>(), 1.25F);
  EXPECT_EQ(*file.view("n").as<std::int32_t>(), -3);
  EXPECT_EQ(error_of([&] { file.view("m"); }),
            (folder / "a").string() +
                ": tensor \"m\" has a 64-bit integer that does not fit into 32 bits");
}

TEST(SafetensorsHeader, LyingHeadersAreRefused) {
  const struct {
    std::string header;
    std::size_t data;
    std::string error;
  } cases[] = {
      {"[]", 0, "x: its header is no JSON object"},
      {"{\"a\":1", 0, "x: its JSON cannot be read at byte 7"},
      {"{\"a\":1}", 0, "x: tensor \"a\" has no dtype"},
      {"{\"a\":" + tensor("F8", "[1]", "[0,1]") + "}", 1,
       "x: tensor \"a\" has the dtype \"F8\"; read here are F32, F64, BF16, I16, I32, I64 and U8"},
      {"{\"a\":" + tensor("F32", "[-1]", "[0,4]") + "}", 4,
       "x: tensor \"a\" has a shape with an entry that is no whole number of 0 or more"},
      {"{\"a\":" + tensor("F32", "[1.5]", "[0,4]") + "}", 4,
       "x: tensor \"a\" has a shape with an entry that is no whole number of 0 or more"},
      {"{\"a\":" + tensor("F32", "[1,1,1,1,1,1,1]", "[0,4]") + "}", 4,
       "x: tensor \"a\" has a shape that is no list of at most 6 numbers"},
      {"{\"a\":" + tensor("F32", "[4294967296,4294967296]", "[0,4]") + "}", 4,
       "x: tensor \"a\" has a shape whose size overflows 64 bits"},
      {"{\"a\":" + tensor("F32", "[0,4294967296,4294967296]", "[0,0]") + "}", 0,
       "x: tensor \"a\" has a shape whose size overflows 64 bits"},
      {"{\"a\":" + tensor("F32", "[18446744073709551615]", "[0,4]") + "}", 4,
       "x: tensor \"a\" has a shape whose size overflows 64 bits"},
      {"{\"a\":" + tensor("F32", "[1]", "[0]") + "}", 4,
       "x: tensor \"a\" has data_offsets that are not two whole numbers"},
      {"{\"a\":" + tensor("F32", "[1]", "[4,0]") + "}", 4,
       "x: tensor \"a\" lies at bytes 4 to 0, but the file holds 4 bytes of data; it is truncated "
       "or its header is wrong"},
      {"{\"a\":" + tensor("F32", "[2]", "[0,8]") + "}", 7,
       "x: tensor \"a\" lies at bytes 0 to 8, but the file holds 7 bytes of data; it is truncated "
       "or its header is wrong"},
      {"{\"a\":" + tensor("F32", "[2]", "[0,4]") + "}", 4,
       "x: tensor \"a\" takes 4 bytes, but its shape [2] of F32 needs 8"},
      {"{\"a\":" + tensor("U8", "[4]", "[0,4]") + ",\"b\":" + tensor("U8", "[4]", "[3,7]") + "}", 7,
       "x: tensor \"b\" overlaps another tensor"},
      {"{\"a\":" + tensor("U8", "[4]", "[0,4]") + ",\"b\":" + tensor("U8", "[4]", "[5,9]") + "}", 9,
       "x: tensor \"b\" comes after bytes that belong to no tensor"},
      {"{\"a\":" + tensor("U8", "[4]", "[0,4]") + "}", 5,
       "x has 1 bytes at its end that belong to no tensor"},
      {"{\"a\":" + tensor("U8", "[1]", "[0,1]") + ",\"a\":" + tensor("U8", "[1]", "[0,1]") + "}", 1,
       "x: its JSON has the key \"a\" twice"},
      {"{\"__metadata__\":{\"k\":1}}", 0, "x: the metadata \"k\" is no string"},
      {"{\"__metadata__\":[]}", 0, "x: its __metadata__ is no JSON object"},
      {"{\"a\":[[[[[[]]]]]]}", 0, "x: its JSON is nested deeper than 4 levels"},
      {"{\"a\":1e999}", 0, "x: its JSON has a number that is out of range"},
  };
  for (const auto& [header, data, error] : cases) {
    EXPECT_EQ(header_error(header, data), error) << header;
  }
}

TEST(SafetensorsHeader, AFileThatIsTooShortForItsHeaderIsRefused) {
  const std::string tiny = "1234567";
  EXPECT_EQ(error_of([&] { parse_safetensors_header(std::as_bytes(std::span(tiny)), "x"); }),
            "x has 7 bytes, too few for a safetensors file; it is truncated or of another kind");
  std::string bytes = file_with("{}", 0);
  bytes[0] = 3;
  EXPECT_EQ(error_of([&] { parse_safetensors_header(std::as_bytes(std::span(bytes)), "x"); }),
            "x announces a header of 3 bytes, but has 2 bytes after its first eight; it is "
            "truncated or no safetensors file");
  bytes.replace(0, 8, 8, '\xff');
  EXPECT_NE(error_of([&] { parse_safetensors_header(std::as_bytes(std::span(bytes)), "x"); }), "");
}

TEST(SafetensorsWriter, StreamsInPartsAndTakesBackRows) {
  const TempFolder folder;
  const std::vector<std::int32_t> values = {1, 2, 3, 4, 5, 6};
  {
    SafetensorsWriter writer(folder / "a", {{"rows", DType::i32, {1'000'000, 2}},
                                            {"none", DType::f32, {0}},
                                            {"last", DType::u8, {1}}});
    writer.append("rows", values.data(), 12);
    writer.append("rows", values.data() + 3, 12);
    writer.shrink("rows", 3);
    writer.append("last", "\x09", 1);
    EXPECT_FALSE(std::filesystem::exists(folder / "a")) << "no final name before finish()";
    writer.finish();
  }
  const SafetensorsFile file(folder / "a");
  const ConstView rows = file.view("rows", DType::i32, {3, 2});
  EXPECT_TRUE(std::equal(values.begin(), values.end(), rows.as<std::int32_t>()));
  EXPECT_EQ(*file.view("last", DType::u8, {1}).as<std::uint8_t>(), 9);
}

TEST(SafetensorsWriter, LeavesNothingBehindUnlessFinished) {
  const TempFolder folder;
  {
    SafetensorsWriter writer(folder / "a", {{"w", DType::u8, {4}}});
    writer.append("w", "12", 2);
    EXPECT_THROW(writer.append("w", "345", 3), ShapeError);
    EXPECT_THROW(writer.append("v", "3", 1), ShapeError);
    EXPECT_THROW(writer.finish(), ShapeError) << "two bytes are missing";
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_EQ(error_of([&] { SafetensorsWriter(folder / "no/a", {}); }),
            "cannot write " + (folder / "no/a").string() +
                ": No such file or directory; make the folder first");
}

// A limit on the file size stands in for a full disk: both make write() fail midway.
TEST(AtomicFile, AFailedWriteKeepsTheOldFileAndRemovesTheNewOne) {
  const TempFolder folder;
  write_file(folder / "a", "old");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = error_of([&] { write_file(folder / "a", std::string(2000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  EXPECT_EQ(error, "cannot write " + (folder / "a").string() + ": File too large");
  EXPECT_EQ(read_file(folder / "a"), "old");
  const auto files = std::distance(std::filesystem::directory_iterator(folder.path()), {});
  EXPECT_EQ(files, 1);
}

TEST(Safetensors, ReleasedPartsAreReadAgain) {
  const TempFolder folder;
  std::vector<std::int32_t> values(100'000);
  std::iota(values.begin(), values.end(), 0);
  write_safetensors(folder / "a", {{"v", {values.data(), DType::i32, {100'000}}}});
  const SafetensorsFile file(folder / "a");
  const ConstView view = file.view("v");
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(std::equal(values.begin(), values.end(), view.as<std::int32_t>()));
    file.release(view);
  }
  file.release({values.data(), DType::i32, {100'000}});  // not of this file: left alone
  EXPECT_EQ(values[99'999], 99'999);
}

TEST(Safetensors, ReadsAFileWrittenByTheReferenceImplementation) {
  CARDIOGRAD_NEEDS_SHARED("golden/seed");
  const std::filesystem::path path = testing::shared_path("golden/seed") / "expected.safetensors";
  const SafetensorsFile file(path);
  EXPECT_FALSE(file.names().empty());
  bool signal_found = false;
  for (const std::string& name : file.names()) {
    signal_found |= file.view(name).dims == Dims{8, 1000, 12};
  }
  EXPECT_TRUE(signal_found);
}

}  // namespace
}  // namespace cardiograd
