// NumPy's .npy files, versions 1 to 3: predictions, targets and bootstrap ids in and out.
// Format: numpy.lib.format's documentation (NEP 1).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace cardiograd {

struct NpyArray {
  std::vector<std::int64_t> shape;
  std::vector<double> values;  // C order, whatever the order in the file
  bool integral = false;       // the file's elements are integers or booleans

  std::string shape_text() const;  // "[2203, 71]"
};

// Reads little-endian f2, f4, f8, signed and unsigned integers of 1 to 8 bytes and booleans, in C
// or Fortran order. The file is not trusted: a header that is not what NumPy writes, a shape that
// overflows or does not fit the file's length, or another dtype throws InputError naming the file.
// 64-bit integers beyond 2^53 are rounded to the nearest double.
NpyArray read_npy(const std::filesystem::path& path);

// Writes version 1, C order; whole or not at all. Throws ShapeError when the shape does not fit the
// values, InputError when the file cannot be written.
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const float> values);
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const double> values);

}  // namespace cardiograd
