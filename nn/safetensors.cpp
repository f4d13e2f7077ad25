#include "nn/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/text.h"
#include "nn/strict_json.h"

namespace cardiograd {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian data");

using nlohmann::json;

constexpr std::size_t length_bytes = 8;
constexpr std::size_t max_header_bytes = 100'000'000;  // the format's own limit
constexpr std::size_t data_alignment = 64;
constexpr const char* metadata_key = "__metadata__";

struct StoredType {
  std::string_view name;
  DType dtype;
  std::size_t size;
};
constexpr StoredType stored_types[] = {{"F32", DType::f32, 4},   {"F64", DType::f64, 8},
                                       {"BF16", DType::bf16, 2}, {"I16", DType::i16, 2},
                                       {"I32", DType::i32, 4},   {"U8", DType::u8, 1},
                                       {"I64", DType::i32, 8}};

std::string_view stored_name(DType dtype) {
  return std::find_if(std::begin(stored_types), std::end(stored_types),
                      [&](const StoredType& type) { return type.dtype == dtype; })
      ->name;
}

// Checks one header after the other, so that the sentences need the names only once.
class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> file, std::string name)
      : file_(file), name_(std::move(name)) {}

  SafetensorsHeader read() {
    const json root = parse_strict_json(text(), name_, 4);
    SafetensorsHeader header;
    for (const auto& [key, value] : root.items()) {
      if (key == metadata_key) {
        read_metadata(value, header.metadata);
      } else {
        header.entries.push_back(entry(key, value));
      }
    }
    check_coverage(header.entries);
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { throw InputError(name_ + message); }
  [[noreturn]] void fail(const std::string& tensor, const std::string& message) const {
    fail(": tensor " + quote(tensor) + " " + message);
  }

  std::string_view text() {
    if (file_.size() < length_bytes) {
      fail(" has " + std::to_string(file_.size()) +
           " bytes, too few for a safetensors file; it is truncated or of another kind");
    }
    std::uint64_t length = 0;
    std::memcpy(&length, file_.data(), length_bytes);
    if (length > max_header_bytes || length > file_.size() - length_bytes) {
      fail(" announces a header of " + std::to_string(length) + " bytes, but has " +
           std::to_string(file_.size() - length_bytes) +
           " bytes after its first eight; it is truncated or no safetensors file");
    }
    data_begin_ = length_bytes + static_cast<std::size_t>(length);
    const std::string_view header(reinterpret_cast<const char*>(file_.data()) + length_bytes,
                                  static_cast<std::size_t>(length));
    if (!header.starts_with('{')) fail(": its header is no JSON object");
    return header;
  }

  void read_metadata(const json& value, Metadata& metadata) const {
    if (!value.is_object()) fail(": its __metadata__ is no JSON object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail(": the metadata " + quote(key) + " is no string");
      metadata.emplace(key, text.get<std::string>());
    }
  }

  const json& field(const json& value, const std::string& tensor, const char* key) const {
    const auto found = value.is_object() ? value.find(key) : value.end();
    if (!value.is_object() || found == value.end()) fail(tensor, std::string("has no ") + key);
    return *found;
  }

  const StoredType& stored_type(const json& value, const std::string& tensor) const {
    if (!value.is_string()) fail(tensor, "has a dtype that is no string");
    const auto& text = value.get_ref<const std::string&>();
    const auto found = std::find_if(std::begin(stored_types), std::end(stored_types),
                                    [&](const StoredType& type) { return type.name == text; });
    if (found == std::end(stored_types)) {
      fail(tensor,
           "has the dtype " + quote(text) + "; read here are F32, F64, BF16, I16, I32, I64 and U8");
    }
    return *found;
  }

  // The shape and its size in bytes, without overflow even where one dimension is 0.
  std::size_t read_shape(const json& value, const std::string& tensor, std::size_t element,
                         Dims& dims) const {
    if (!value.is_array() || value.size() > Dims::max_rank) {
      fail(tensor, "has a shape that is no list of at most 6 numbers");
    }
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    std::uint64_t bytes = element;
    bool empty = false;
    for (const json& size : value) {
      if (!size.is_number_unsigned()) {
        fail(tensor, "has a shape with an entry that is no whole number of 0 or more");
      }
      const auto extent = size.get<std::uint64_t>();
      if (extent > most || (extent > 0 && bytes > most / extent)) {
        fail(tensor, "has a shape whose size overflows 64 bits");
      }
      if (extent == 0) empty = true;
      bytes *= std::max<std::uint64_t>(extent, 1);
      dims.push_back(static_cast<std::int64_t>(extent));
    }
    return empty ? 0 : static_cast<std::size_t>(bytes);
  }

  SafetensorsEntry entry(const std::string& tensor, const json& value) const {
    const StoredType& type = stored_type(field(value, tensor, "dtype"), tensor);
    SafetensorsEntry result;
    result.name = tensor;
    result.dtype = type.dtype;
    result.wide = type.size != size_of(type.dtype);
    const std::size_t bytes =
        read_shape(field(value, tensor, "shape"), tensor, type.size, result.dims);
    const json& offsets = field(value, tensor, "data_offsets");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      fail(tensor, "has data_offsets that are not two whole numbers");
    }
    const auto begin = offsets[0].get<std::uint64_t>();
    const auto end = offsets[1].get<std::uint64_t>();
    const std::size_t available = file_.size() - data_begin_;
    if (begin > end || end > available) {
      fail(tensor, "lies at bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                       ", but the file holds " + std::to_string(available) +
                       " bytes of data; it is truncated or its header is wrong");
    }
    if (end - begin != bytes) {
      fail(tensor, "takes " + std::to_string(end - begin) + " bytes, but its shape " +
                       result.dims.to_string() + " of " + std::string(type.name) + " needs " +
                       std::to_string(bytes));
    }
    result.begin = data_begin_ + static_cast<std::size_t>(begin);
    result.end = data_begin_ + static_cast<std::size_t>(end);
    return result;
  }

  // The format wants every byte of the data in exactly one tensor.
  void check_coverage(std::vector<SafetensorsEntry>& entries) const {
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
      return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
    });
    std::size_t covered = data_begin_;
    for (const SafetensorsEntry& tensor : entries) {
      if (tensor.begin < covered) fail(tensor.name, "overlaps another tensor");
      if (tensor.begin > covered) fail(tensor.name, "comes after bytes that belong to no tensor");
      covered = tensor.end;
    }
    if (covered != file_.size()) {
      fail(" has " + std::to_string(file_.size() - covered) +
           " bytes at its end that belong to no tensor");
    }
  }

  std::span<const std::byte> file_;
  std::string name_;
  std::size_t data_begin_ = 0;
};

// The 64-bit integers as 32-bit ones, or null where one does not fit.
std::unique_ptr<std::byte[]> narrow(const std::byte* data, std::size_t count) {
  auto copy = std::make_unique<std::byte[]>(std::max<std::size_t>(count * 4, 1));
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t wide = 0;
    std::memcpy(&wide, data + 8 * i, 8);
    const auto value = static_cast<std::int32_t>(wide);
    if (value != wide) return nullptr;
    std::memcpy(copy.get() + 4 * i, &value, 4);
  }
  return copy;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& name) {
  return HeaderReader(file, name).read();
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path), map_(path) {
  SafetensorsHeader header = parse_safetensors_header(map_.bytes(), path.string());
  metadata_ = std::move(header.metadata);
  for (const SafetensorsEntry& entry : header.entries) add(entry);
}

void SafetensorsFile::add(const SafetensorsEntry& entry) {
  names_.push_back(entry.name);
  const std::byte* data = map_.bytes().data() + entry.begin;
  const std::size_t bytes = entry.end - entry.begin;
  if (entry.wide) {
    copies_.push_back(narrow(data, bytes / 8));
    data = copies_.back().get();  // null: view() refuses it
  } else if (reinterpret_cast<std::uintptr_t>(data) % size_of(entry.dtype) != 0) {
    copies_.push_back(std::make_unique<std::byte[]>(bytes));
    std::copy_n(data, bytes, copies_.back().get());
    data = copies_.back().get();
  }
  tensors_.emplace(entry.name, ConstView(data, entry.dtype, entry.dims));
}

ConstView SafetensorsFile::view(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw InputError(path_.string() + " has no tensor " + quote(name));
  }
  if (!found->second.present()) {
    throw InputError(path_.string() + ": tensor " + quote(name) +
                     " has a 64-bit integer that does not fit into 32 bits");
  }
  return found->second;
}

ConstView SafetensorsFile::view(const std::string& name, DType dtype, const Dims& dims) const {
  const ConstView tensor = view(name);
  if (tensor.dtype != dtype || !(tensor.dims == dims)) {
    throw InputError(path_.string() + ": tensor " + quote(name) + " is " +
                     std::string(name_of(tensor.dtype)) + " " + tensor.dims.to_string() +
                     ", where " + std::string(name_of(dtype)) + " " + dims.to_string() +
                     " is expected");
  }
  return tensor;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     std::vector<TensorSpec> tensors, Metadata metadata)
    : tensors_(std::move(tensors)), metadata_(std::move(metadata)), file_(path) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    CG_CHECK(tensors_[i].name != metadata_key && find(tensors_[i].name) == i,
             "a safetensors file cannot hold two tensors " + quote(tensors_[i].name));
  }
  std::string text = header();
  const std::size_t unaligned = (length_bytes + text.size()) % data_alignment;
  if (unaligned != 0) text.append(data_alignment - unaligned, ' ');
  header_bytes_ = text.size();
  const std::uint64_t length = header_bytes_;
  file_.write(&length, length_bytes);
  file_.write(text);
}

std::size_t SafetensorsWriter::find(const std::string& name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [&](const TensorSpec& spec) { return spec.name == name; });
  return static_cast<std::size_t>(found - tensors_.begin());
}

std::string SafetensorsWriter::header() const {
  nlohmann::ordered_json root = nlohmann::ordered_json::object();
  if (!metadata_.empty()) root[metadata_key] = metadata_;
  std::size_t offset = 0;
  for (const TensorSpec& spec : tensors_) {
    const std::size_t end = offset + spec.bytes();
    root[spec.name] = {{"dtype", stored_name(spec.dtype)},
                       {"shape", std::vector<std::int64_t>(spec.dims.begin(), spec.dims.end())},
                       {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Metadata may come from any file: bytes that are no UTF-8 must not stop the writing.
  return root.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void SafetensorsWriter::advance_to(std::size_t index) {
  for (; current_ < index; ++current_, written_ = 0) {
    CG_CHECK(written_ == tensors_[current_].bytes(),
             file_.target().string() + ": tensor " + quote(tensors_[current_].name) + " got " +
                 std::to_string(written_) + " bytes for the shape " +
                 tensors_[current_].dims.to_string());
  }
}

void SafetensorsWriter::append(const std::string& name, const void* data, std::size_t bytes) {
  const std::size_t index = find(name);
  CG_CHECK(index < tensors_.size() && index >= current_,
           file_.target().string() + ": tensor " + quote(name) + " is not in turn");
  advance_to(index);
  CG_CHECK(bytes <= tensors_[index].bytes() - written_,
           file_.target().string() + ": tensor " + quote(name) + " got more bytes than fit");
  file_.write(data, bytes);
  written_ += bytes;
}

void SafetensorsWriter::shrink(const std::string& name, std::int64_t rows) {
  const std::size_t index = find(name);
  CG_CHECK(index < tensors_.size() && index >= current_ && rows <= tensors_[index].dims[0],
           file_.target().string() + ": tensor " + quote(name) + " cannot be shrunk to " +
               std::to_string(rows) + " rows");
  tensors_[index].dims[0] = rows;
}

void SafetensorsWriter::finish() {
  advance_to(tensors_.size());
  std::string text = header();
  // Shrinking only takes digits away, so the final header fits where the first one stood.
  CG_CHECK(text.size() <= header_bytes_, file_.target().string() + ": the header has grown");
  text.resize(header_bytes_, ' ');
  file_.overwrite(length_bytes, text);
  file_.commit();
}

void write_safetensors(const std::filesystem::path& path, std::vector<NamedView> tensors,
                       const Metadata& metadata) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const NamedView& a, const NamedView& b) {
    return size_of(a.view.dtype) > size_of(b.view.dtype);
  });
  std::vector<TensorSpec> specs;
  for (const NamedView& tensor : tensors) {
    specs.push_back({tensor.name, tensor.view.dtype, tensor.view.dims});
  }
  SafetensorsWriter writer(path, std::move(specs), metadata);
  for (const NamedView& tensor : tensors) {
    writer.append(tensor.name, tensor.view.data, tensor.view.bytes());
  }
  writer.finish();
}

}  // namespace cardiograd
