#include "data/npy.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>

#include "kernels/error.h"
#include "nn/atomic_file.h"
#include "nn/half.h"
#include "nn/utf8.h"

namespace cardiograd {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are read as they lie");

constexpr std::string_view magic = "\x93NUMPY";
// NumPy writes headers of about a hundred bytes; a longer one than this is no array's.
constexpr std::size_t max_header = 1 << 16;
constexpr std::size_t max_rank = 32;

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

// The header is a Python dict literal with three known keys. Anything else is refused.
class HeaderParser {
 public:
  HeaderParser(const std::filesystem::path& path, std::string_view text)
      : path_(path), text_(text) {}

  Header parse() {
    std::optional<std::string> descr;
    std::optional<bool> fortran_order;
    std::optional<std::vector<std::int64_t>> shape;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !descr) {
        descr = string();
      } else if (key == "fortran_order" && !fortran_order) {
        fortran_order = boolean();
      } else if (key == "shape" && !shape) {
        shape = tuple();
      } else {
        fail();
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip_spaces();
    if (!text_.empty() || !descr || !fortran_order || !shape) fail();
    return {*descr, *fortran_order, *shape};
  }

 private:
  [[noreturn]] void fail() const {
    throw InputError(path_.string() +
                     ": the .npy header is not a plain array's (descr, fortran_order, shape)");
  }
  void skip_spaces() {
    const auto at = text_.find_first_not_of(" \t\n");
    text_.remove_prefix(at == std::string_view::npos ? text_.size() : at);
  }
  bool accept(char wanted) {
    skip_spaces();
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail();
  }
  std::string string() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const auto end = text_.find(quote);
    if (end == std::string_view::npos) fail();
    std::string value(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return value;
  }
  bool boolean() {
    skip_spaces();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (!text_.starts_with(word)) continue;
      text_.remove_prefix(word.size());
      return value;
    }
    fail();
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      skip_spaces();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), size);
      if (error != std::errc() || size < 0 || sizes.size() == max_rank) fail();
      text_.remove_prefix(static_cast<std::size_t>(end - text_.data()));
      sizes.push_back(size);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  const std::filesystem::path& path_;
  std::string_view text_;
};

std::string read_file(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    throw InputError(path.string() + ": there is no such file");
  }
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  std::string bytes(file ? static_cast<std::size_t>(file.tellg()) : 0, '\0');
  file.seekg(0);
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!file) throw InputError(path.string() + ": the file cannot be read");
  return bytes;
}

// Splits off the header; `bytes` is left with the elements.
Header take_header(const std::filesystem::path& path, std::string_view& bytes) {
  if (!bytes.starts_with(magic) || bytes.size() < magic.size() + 4) {
    throw InputError(path.string() + ": this is not a .npy file");
  }
  const int version = static_cast<unsigned char>(bytes[magic.size()]);
  if (version < 1 || version > 3) {
    throw InputError(path.string() + ": version " + std::to_string(version) +
                     " of the .npy format is unknown; versions 1 to 3 are read");
  }
  const std::size_t width = version == 1 ? 2 : 4;
  bytes.remove_prefix(magic.size() + 2);
  std::uint32_t length = 0;
  if (bytes.size() >= width) std::memcpy(&length, bytes.data(), width);
  if (bytes.size() < width || length > bytes.size() - width || length > max_header) {
    throw InputError(path.string() + ": the .npy header is cut short or its length is wrong");
  }
  const Header header = HeaderParser(path, bytes.substr(width, length)).parse();
  bytes.remove_prefix(width + length);
  return header;
}

std::size_t element_count(const std::filesystem::path& path, const NpyArray& array,
                          std::size_t element_size, std::size_t bytes) {
  // A product with a zero is zero, whatever the other sizes are.
  const bool none = std::find(array.shape.begin(), array.shape.end(), 0) != array.shape.end();
  std::size_t count = none ? 0 : 1;
  bool overflow = false;
  for (const std::int64_t size : array.shape) {
    overflow |= __builtin_mul_overflow(count, static_cast<std::size_t>(size), &count);
  }
  std::size_t wanted = 0;
  overflow |= __builtin_mul_overflow(count, element_size, &wanted);
  if (overflow || wanted != bytes) {
    throw InputError(path.string() + ": shape " + array.shape_text() + " needs " +
                     (overflow ? "more than any file holds" : std::to_string(wanted) + " bytes") +
                     ", but the file has " + std::to_string(bytes) + " after the header");
  }
  return count;
}

// Fortran order to C order: the file's axes run from the first to the last.
template <class T>
void convert_fortran(const char* elements, NpyArray& array) {
  std::vector<std::size_t> index(array.shape.size(), 0);
  std::vector<std::size_t> strides(array.shape.size(), 1);
  for (std::size_t axis = 1; axis < strides.size(); ++axis) {
    strides[axis] = strides[axis - 1] * static_cast<std::size_t>(array.shape[axis - 1]);
  }
  std::size_t at = 0;
  for (double& value : array.values) {
    T element;
    std::memcpy(&element, elements + at * sizeof(T), sizeof(T));
    value = static_cast<double>(element);
    for (std::size_t axis = index.size(); axis-- > 0;) {
      at += strides[axis];
      if (++index[axis] < static_cast<std::size_t>(array.shape[axis])) break;
      at -= strides[axis] * index[axis];
      index[axis] = 0;
    }
  }
}

template <class T>
void convert(const std::filesystem::path& path, std::string_view bytes, bool fortran_order,
             NpyArray& array) {
  array.integral = std::integral<T>;
  array.values.resize(element_count(path, array, sizeof(T), bytes.size()));
  if (fortran_order && array.shape.size() > 1) {
    convert_fortran<T>(bytes.data(), array);
    return;
  }
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    T element;
    std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
    array.values[i] = static_cast<double>(element);
  }
}

using Convert = void (*)(const std::filesystem::path&, std::string_view, bool, NpyArray&);

Convert converter(std::string_view descr) {
  struct Entry {
    std::string_view name;
    Convert convert;
  };
  // A byte has no order: NumPy writes "|". A bool is a byte of 0 or 1.
  constexpr Entry entries[] = {
      {"<f2", convert<Half>},          {"<f4", convert<float>},
      {"<f8", convert<double>},        {"|i1", convert<std::int8_t>},
      {"<i2", convert<std::int16_t>},  {"<i4", convert<std::int32_t>},
      {"<i8", convert<std::int64_t>},  {"|u1", convert<std::uint8_t>},
      {"<u2", convert<std::uint16_t>}, {"<u4", convert<std::uint32_t>},
      {"<u8", convert<std::uint64_t>}, {"|b1", convert<std::uint8_t>},
  };
  for (const Entry& entry : entries) {
    if (entry.name == descr) return entry.convert;
  }
  return nullptr;
}

template <class T>
void write(const std::filesystem::path& path, std::span<const std::int64_t> shape,
           std::span<const T> values) {
  std::string sizes;
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    sizes += std::to_string(size) + ", ";
    count *= size;
  }
  CG_CHECK(count == static_cast<std::int64_t>(values.size()),
           "the shape of the array to write does not fit its " + std::to_string(values.size()) +
               " values");
  std::string header = "{'descr': '<f" + std::to_string(sizeof(T)) +
                       "', 'fortran_order': False, 'shape': (" + sizes + "), }";
  if (shape.size() > 1) header.erase(header.rfind(", ), }"), 2);
  // The elements start at a multiple of 64 bytes; the header ends with a newline.
  const std::size_t before = magic.size() + 4;
  header.append(63 - (before + header.size()) % 64, ' ');
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  AtomicFile file(path);
  file.write(magic);
  file.write(std::string_view("\x01\x00", 2));
  file.write(&length, sizeof length);
  file.write(header);
  file.write(values.data(), values.size_bytes());
  file.commit();
}

}  // namespace

std::string NpyArray::shape_text() const {
  std::string text = "[";
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    text += (axis ? ", " : "") + std::to_string(shape[axis]);
  }
  return text + "]";
}

NpyArray read_npy(const std::filesystem::path& path) {
  const std::string file = read_file(path);
  std::string_view bytes = file;
  const Header header = take_header(path, bytes);
  const Convert convert = converter(header.descr);
  if (convert == nullptr) {
    throw InputError(path.string() + ": elements of dtype '" +
                     valid_utf8(std::string_view(header.descr).substr(0, 16)) +
                     "' are not read; save the array as little-endian float32 or float64");
  }
  NpyArray array;
  array.shape = header.shape;
  convert(path, bytes, header.fortran_order, array);
  return array;
}

void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const float> values) {
  write(path, shape, values);
}

void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const double> values) {
  write(path, shape, values);
}

}  // namespace cardiograd
