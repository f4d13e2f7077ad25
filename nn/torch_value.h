// What a PyTorch file holds: tensors, and Python's plain values around them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "nn/tensor.h"

namespace cardiograd {

enum class TorchDType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

std::size_t size_of(TorchDType dtype);
// PyTorch's name: "float32".
std::string_view name_of(TorchDType dtype);

// The memory behind one or several tensors, little-endian.
struct TorchStorage {
  std::string key;  // its name in the file
  std::size_t bytes = 0;
  std::unique_ptr<std::byte[]> data;
};

// A tensor as PyTorch saved it: strided, possibly sharing its storage with others. The reader has
// checked that every element lies within the storage.
class TorchTensor {
 public:
  // offset and strides in elements.
  TorchTensor(TorchDType dtype, const Dims& dims, const Dims& strides, std::int64_t offset,
              std::shared_ptr<const TorchStorage> storage)
      : dtype_(dtype),
        dims_(dims),
        strides_(strides),
        offset_(offset),
        storage_(std::move(storage)) {}

  TorchDType dtype() const { return dtype_; }
  const Dims& dims() const { return dims_; }
  std::int64_t numel() const { return dims_.numel(); }
  // Whether the elements lie side by side, last dimension fastest.
  bool is_contiguous() const;
  // The elements in row-major order, as they are stored.
  std::vector<std::byte> contiguous_bytes() const;
  // The elements in row-major order, converted to T (float, double or std::int64_t).
  template <class T>
  std::vector<T> values() const;
  // What to_tensor makes of it: f16 becomes f32, i64 becomes i32, i8 becomes i16, bool becomes u8.
  DType tensor_dtype() const;
  // A copy on `backend`. Throws InputError, without naming the file, where a 64-bit integer does
  // not fit into 32 bits.
  Tensor to_tensor(const std::shared_ptr<Backend>& backend) const;

 private:
  const std::byte* first() const;

  TorchDType dtype_;
  Dims dims_;
  Dims strides_;
  std::int64_t offset_;
  std::shared_ptr<const TorchStorage> storage_;
};

class TorchValue;
struct PickleObject;

enum class TorchKind : std::uint8_t {
  none,
  boolean,
  integer,
  number,
  string,
  bytes,
  tensor,
  list,
  tuple,
  dict,
  object  // only while a file is read: what tensors and scalars are built from
};

std::string_view name_of(TorchKind kind);

// One entry of a dict.
struct TorchEntry;

// A Python value. Copies share what is inside. Dicts keep their order; their string and integer
// keys are unique. No value contains itself, and none is nested deeper than 64 levels.
class TorchValue {
 public:
  TorchValue() = default;  // None

  TorchKind kind() const { return kind_; }
  bool is(TorchKind kind) const { return kind_ == kind; }

  // Each throws InputError where the value is of another kind: "a list, where a dict is wanted".
  bool as_boolean() const;
  std::int64_t as_integer() const;
  double as_number() const;  // of an integer and a boolean too
  const std::string& as_string() const;
  const std::string& as_bytes() const;
  const TorchTensor& as_tensor() const;
  std::span<const TorchValue> items() const;    // of a list or a tuple
  std::span<const TorchEntry> entries() const;  // of a dict
  // A dict's value; null where the key is absent or this is no dict.
  const TorchValue* find(std::string_view key) const;
  const TorchValue* find(std::int64_t key) const;

  static TorchValue boolean(bool value);
  static TorchValue integer(std::int64_t value);
  static TorchValue number(double value);
  static TorchValue text(TorchKind kind, std::string value);  // a string or bytes
  static TorchValue tensor(TorchTensor value);
  static TorchValue sequence(TorchKind kind, std::vector<TorchValue> items);  // a list or tuple
  static TorchValue dict(std::vector<TorchEntry> entries);

 private:
  friend class Unpickler;
  using Data =
      std::variant<std::monostate, bool, std::int64_t, double, std::shared_ptr<const std::string>,
                   std::shared_ptr<const TorchTensor>, std::shared_ptr<std::vector<TorchValue>>,
                   std::shared_ptr<std::vector<TorchEntry>>, std::shared_ptr<const PickleObject>>;

  TorchValue(TorchKind kind, Data data) : kind_(kind), data_(std::move(data)) {}
  void want(TorchKind kind) const;

  TorchKind kind_ = TorchKind::none;
  Data data_;
};

struct TorchEntry {
  TorchValue key;
  TorchValue value;
};

}  // namespace cardiograd
