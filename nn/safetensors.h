// safetensors, the format of packed data sets, checkpoints and note embeddings: eight bytes with
// the length of a JSON header, the header (name -> dtype, shape, data_offsets), then the tensors'
// bytes without holes (https://github.com/huggingface/safetensors).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/view.h"
#include "nn/atomic_file.h"
#include "nn/input_file.h"

namespace cardiograd {

using Metadata = std::map<std::string, std::string>;

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::f32;
  bool wide = false;  // stored as I64, shown as i32
  Dims dims;
  std::size_t begin = 0;  // bytes, from the beginning of the file
  std::size_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of their bytes
  Metadata metadata;
};

// Reads and checks the header of a whole file in memory; `name` stands in the sentences. Throws
// InputError for every header that does not describe exactly the bytes that follow it.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::string& name);

// A safetensors file, mapped read-only. Opening touches the header alone. Dtypes: F32, F64, BF16,
// I16, I32, U8; I64 is shown as i32, and refused when asked for where a value does not fit.
class SafetensorsFile {
 public:
  // Throws InputError, naming the file, where it is missing, truncated or inconsistent.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const Metadata& metadata() const { return metadata_; }
  // In the order of their bytes.
  const std::vector<std::string>& names() const { return names_; }
  bool contains(const std::string& name) const { return tensors_.contains(name); }
  // Points into the file, valid as long as this object. Throws InputError naming file and tensor
  // where there is none of that name; the second form also where dtype or dims are others.
  ConstView view(const std::string& name) const;
  ConstView view(const std::string& name, DType dtype, const Dims& dims) const;
  // Lets the system drop the part's whole pages from resident memory, for a reader that walks
  // through a file larger than it wants resident. They are read again when touched.
  void release(const ConstView& part) const { map_.release(part.data, part.bytes()); }

 private:
  void add(const SafetensorsEntry& entry);

  std::filesystem::path path_;
  MappedFile map_;
  Metadata metadata_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, ConstView> tensors_;
  std::vector<std::unique_ptr<std::byte[]>> copies_;  // of misaligned and of 64-bit tensors
};

struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  Dims dims;

  std::size_t bytes() const { return static_cast<std::size_t>(dims.numel()) * size_of(dtype); }
};

// Writes a file whose tensors need never lie in memory as a whole. The data begins at a multiple of
// 64 bytes; put wide dtypes before narrow ones to keep every tensor aligned to its element.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorSpec> tensors,
                    Metadata metadata = {});

  // Appends to tensor `name`. Tensors are filled in the order of the list, each completely.
  void append(const std::string& name, const void* data, std::size_t bytes);
  // Lowers the first dimension of a tensor that is not yet behind the one being filled: for a count
  // that is known only after the data has been streamed.
  void shrink(const std::string& name, std::int64_t rows);
  // Gives the file its final name; throws ShapeError where a tensor is not full. Without finish()
  // nothing is left behind.
  void finish();

 private:
  std::size_t find(const std::string& name) const;
  void advance_to(std::size_t index);
  std::string header() const;

  std::vector<TensorSpec> tensors_;
  Metadata metadata_;
  AtomicFile file_;
  std::size_t header_bytes_ = 0;
  std::size_t current_ = 0;
  std::size_t written_ = 0;  // bytes of the current tensor
};

struct NamedView {
  std::string name;
  ConstView view;
};

// Writes all tensors at once, wide dtypes first.
void write_safetensors(const std::filesystem::path& path, std::vector<NamedView> tensors,
                       const Metadata& metadata = {});

}  // namespace cardiograd
