#include "data/npy.h"

#include <cstdint>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <string>
#include <vector>

#include "kernels/error.h"
#include "tests/support/temp_folder.h"

namespace cardiograd {
namespace {

using cardiograd::testing::error_of;
using cardiograd::testing::read_file;
using cardiograd::testing::TempFolder;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string npy(const std::string& header, const std::string& elements, char version = 1) {
  std::string file = std::string("\x93NUMPY") + version + '\0';
  const auto length = static_cast<std::uint32_t>(header.size());
  std::string width(4, '\0');
  std::memcpy(width.data(), &length, 4);
  return file + width.substr(0, version == 1 ? 2 : 4) + header + elements;
}

std::string header(const std::string& descr, const std::string& shape,
                   const std::string& fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape +
         ", }   \n";
}

NpyArray read(const std::string& contents) {
  const TempFolder folder;
  return read_npy(folder.write("a.npy", contents));
}

// The sentence without the folder that the test happens to use.
std::string refusal(const std::string& contents) {
  const TempFolder folder;
  const auto path = folder.write("a.npy", contents);
  const std::string error = error_of([&] { read_npy(path); });
  return error.rfind(path.string(), 0) == 0 ? error.substr(path.string().size()) : error;
}

TEST(Npy, ReadsEveryDtype) {
  const std::vector<double> wanted{0, 1, 3};
  const auto check = [&](const std::string& descr, const std::string& elements, bool integral) {
    const NpyArray array = read(npy(header(descr, "(3,)"), elements));
    EXPECT_EQ(array.values, wanted) << descr;
    EXPECT_EQ(array.integral, integral) << descr;
  };
  check("<f4", bytes_of<float>({0, 1, 3}), false);
  check("<f8", bytes_of<double>({0, 1, 3}), false);
  check("<f2", bytes_of<std::uint16_t>({0, 0x3C00, 0x4200}), false);
  check("|i1", bytes_of<std::int8_t>({0, 1, 3}), true);
  check("<i2", bytes_of<std::int16_t>({0, 1, 3}), true);
  check("<i4", bytes_of<std::int32_t>({0, 1, 3}), true);
  check("<i8", bytes_of<std::int64_t>({0, 1, 3}), true);
  check("|u1", bytes_of<std::uint8_t>({0, 1, 3}), true);
  check("<u2", bytes_of<std::uint16_t>({0, 1, 3}), true);
  check("<u4", bytes_of<std::uint32_t>({0, 1, 3}), true);
  check("<u8", bytes_of<std::uint64_t>({0, 1, 3}), true);
  EXPECT_EQ(read(npy(header("|b1", "(2,)"), std::string("\1\0", 2))).values,
            (std::vector<double>{1, 0}));
  EXPECT_EQ(read(npy(header("<i4", "(1,)"), bytes_of<std::int32_t>({-7}))).values[0], -7.0);
}

TEST(Npy, ReadsHalfPrecisionAtItsEdges) {
  const NpyArray array = read(npy(
      header("<f2", "(5,)"), bytes_of<std::uint16_t>({0x0001, 0x7BFF, 0xFC00, 0xC000, 0x3555})));
  EXPECT_EQ(array.values[0], 0x1p-24);
  EXPECT_EQ(array.values[1], 65504.0);
  EXPECT_EQ(array.values[2], -std::numeric_limits<double>::infinity());
  EXPECT_EQ(array.values[3], -2.0);
  EXPECT_EQ(array.values[4], 0.333251953125);
}

TEST(Npy, TurnsFortranOrderIntoCOrder) {
  const NpyArray matrix =
      read(npy(header("<i4", "(2, 3)", "True"), bytes_of<std::int32_t>({1, 4, 2, 5, 3, 6})));
  EXPECT_EQ(matrix.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(matrix.values, (std::vector<double>{1, 2, 3, 4, 5, 6}));
  const NpyArray cube = read(
      npy(header("|u1", "(2, 2, 2)", "True"), bytes_of<std::uint8_t>({0, 4, 2, 6, 1, 5, 3, 7})));
  EXPECT_EQ(cube.values, (std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(Npy, ReadsEveryVersionAndShape) {
  const std::string one = bytes_of<double>({2.5});
  EXPECT_EQ(read(npy(header("<f8", "(1,)"), one, 2)).values[0], 2.5);
  EXPECT_EQ(read(npy(header("<f8", "(1,)"), one, 3)).values[0], 2.5);
  EXPECT_EQ(read(npy(header("<f8", "()"), one)).values, std::vector<double>{2.5});
  EXPECT_TRUE(read(npy(header("<f8", "(0, 5)"), "")).values.empty());
  EXPECT_EQ(read(npy("{\"shape\":(1,),\"fortran_order\":False,\"descr\":\"<f8\"}", one)).values[0],
            2.5);
}

TEST(Npy, RefusesWhatDoesNotFitTheFile) {
  EXPECT_EQ(refusal(npy(header("<f8", "(2,)"), bytes_of<double>({1}))),
            ": shape [2] needs 16 bytes, but the file has 8 after the header");
  EXPECT_EQ(refusal(npy(header("<f8", "(1,)"), bytes_of<double>({1, 2}))),
            ": shape [1] needs 8 bytes, but the file has 16 after the header");
  EXPECT_EQ(refusal(npy(header("<f8", "(4294967296, 4294967296)"), "")),
            ": shape [4294967296, 4294967296] needs more than any file holds, but the file has 0 "
            "after the header");
  EXPECT_EQ(
      refusal(npy(header("<f8", "(2305843009213693952,)"), "")),
      ": shape [2305843009213693952] needs more than any file holds, but the file has 0 after "
      "the header");
}

TEST(Npy, RefusesABrokenBeginning) {
  EXPECT_EQ(refusal("PK\3\4 something else"), ": this is not a .npy file");
  EXPECT_EQ(refusal(""), ": this is not a .npy file");
  EXPECT_EQ(refusal(npy("", "", 4)),
            ": version 4 of the .npy format is unknown; versions 1 to 3 are read");
  const std::string cut = ": the .npy header is cut short or its length is wrong";
  EXPECT_EQ(refusal(npy(header("<f8", "(1,)"), "").substr(0, 40)), cut);
  EXPECT_EQ(refusal(std::string("\x93NUMPY\2\0\xff\xff", 10)), cut);
  EXPECT_EQ(refusal(std::string("\x93NUMPY\2\0\xff\xff\xff\xff{}", 14)), cut);
}

TEST(Npy, RefusesAHeaderThatIsNotAPlainArrays) {
  for (const std::string& bad :
       {std::string("{}"), std::string("{'descr': '<f8', 'fortran_order': False}"),
        header("<f8", "(-1,)"), header("<f8", "(1 2)"), header("<f8", "(99999999999999999999,)"),
        header("<f8", "(1,)", "Maybe"), header("<f8", "(1,)") + "trailing",
        std::string("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,)}"),
        std::string("{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}"),
        std::string("{'descr': '<f8"), std::string("{'evil': __import__('os')}")}) {
    EXPECT_EQ(refusal(npy(bad, bytes_of<double>({1}))),
              ": the .npy header is not a plain array's (descr, fortran_order, shape)")
        << bad;
  }
  EXPECT_EQ(refusal(npy(header(">f8", "(1,)"), bytes_of<double>({1}))),
            ": elements of dtype '>f8' are not read; save the array as little-endian float32 or "
            "float64");
}

TEST(Npy, SaysWhichFileIsMissing) {
  EXPECT_EQ(error_of([] { read_npy("no/such.npy"); }), "no/such.npy: there is no such file");
}

TEST(Npy, ReadsBackWhatItWrites) {
  const TempFolder folder;
  const std::vector<double> doubles{1, -2, 3.25, 1e300, 0, 7};
  const std::vector<std::int64_t> shape{2, 3};
  write_npy(folder / "d.npy", shape, doubles);
  EXPECT_EQ(read_npy(folder / "d.npy").shape, shape);
  EXPECT_EQ(read_npy(folder / "d.npy").values, doubles);
  const std::vector<float> floats{0.1F, 2};
  write_npy(folder / "f.npy", std::vector<std::int64_t>{2}, floats);
  EXPECT_EQ(read_npy(folder / "f.npy").values[0], static_cast<double>(0.1F));
  // As NumPy aligns it: the elements begin at a multiple of 64 bytes after one newline.
  const std::string file = read_file(folder / "f.npy");
  EXPECT_EQ((file.size() - 8) % 64, 0U);
  EXPECT_EQ(file[file.size() - 9], '\n');
  EXPECT_THROW(write_npy(folder / "g.npy", shape, floats), ShapeError);
  EXPECT_FALSE(std::filesystem::exists(folder / "g.npy"));
}

}  // namespace
}  // namespace cardiograd
