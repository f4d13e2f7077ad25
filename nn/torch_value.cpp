#include "nn/torch_value.h"

#include <array>
#include <cstring>
#include <limits>

#include "nn/half.h"

namespace cardiograd {

namespace {

struct TorchType {
  std::string_view name;
  std::size_t size;
  DType tensor;
};
constexpr std::array<TorchType, 10> types{{{"float64", 8, DType::f64},
                                           {"float32", 4, DType::f32},
                                           {"float16", 2, DType::f32},
                                           {"bfloat16", 2, DType::bf16},
                                           {"int64", 8, DType::i32},
                                           {"int32", 4, DType::i32},
                                           {"int16", 2, DType::i16},
                                           {"int8", 1, DType::i16},
                                           {"uint8", 1, DType::u8},
                                           {"bool", 1, DType::u8}}};

const TorchType& type_of(TorchDType dtype) { return types[static_cast<std::size_t>(dtype)]; }

// Calls f with an element of the C++ type that a file holds.
template <class F>
decltype(auto) dispatch(TorchDType dtype, F&& f) {
  switch (dtype) {
    case TorchDType::f64:
      return f(double{});
    case TorchDType::f16:
      return f(Half{});
    case TorchDType::bf16:
      return f(BFloat16{});
    case TorchDType::i64:
      return f(std::int64_t{});
    case TorchDType::i32:
      return f(std::int32_t{});
    case TorchDType::i16:
      return f(std::int16_t{});
    case TorchDType::i8:
      return f(std::int8_t{});
    case TorchDType::u8:
    case TorchDType::boolean:
      return f(std::uint8_t{});
    case TorchDType::f32:
      break;
  }
  return f(float{});
}

template <class To, class From>
To converted(From value) {
  if constexpr (std::is_same_v<From, Half>) {
    return static_cast<To>(static_cast<double>(value));
  } else if constexpr (std::is_same_v<From, BFloat16>) {
    return static_cast<To>(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

// Integers from a floating value that no integer can hold would be undefined.
template <class To, class From>
To checked(From value) {
  if constexpr (std::is_integral_v<To>) {
    const auto wide = converted<double>(value);
    if (!(wide >= -9.2e18 && wide <= 9.2e18)) {
      throw InputError("a tensor has the value " + std::to_string(wide) +
                       ", where an integer is wanted");
    }
  }
  return converted<To>(value);
}

constexpr std::array<std::string_view, 11> kind_names{
    "None",     "a boolean", "an integer", "a number", "a string",          "bytes",
    "a tensor", "a list",    "a tuple",    "a dict",   "a part of a tensor"};

}  // namespace

std::size_t size_of(TorchDType dtype) { return type_of(dtype).size; }
std::string_view name_of(TorchDType dtype) { return type_of(dtype).name; }
std::string_view name_of(TorchKind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

bool TorchTensor::is_contiguous() const {
  std::int64_t expected = 1;
  for (int axis = dims_.rank() - 1; axis >= 0; --axis) {
    if (dims_[axis] != 1 && strides_[axis] != expected) return numel() == 0;
    expected *= dims_[axis];
  }
  return true;
}

const std::byte* TorchTensor::first() const {
  return storage_->data.get() + static_cast<std::size_t>(offset_) * size_of(dtype_);
}

std::vector<std::byte> TorchTensor::contiguous_bytes() const {
  const std::size_t size = size_of(dtype_);
  std::vector<std::byte> result(static_cast<std::size_t>(numel()) * size);
  if (result.empty()) return result;
  if (is_contiguous()) {
    std::memcpy(result.data(), first(), result.size());
    return result;
  }
  std::array<std::int64_t, Dims::max_rank> index{};
  std::int64_t at = 0;  // elements from the first one
  for (std::size_t out = 0; out < result.size(); out += size) {
    std::memcpy(&result[out], first() + static_cast<std::size_t>(at) * size, size);
    for (int axis = dims_.rank() - 1; axis >= 0; --axis) {
      std::int64_t& position = index[static_cast<std::size_t>(axis)];
      at += strides_[axis];
      if (++position < dims_[axis]) break;
      at -= position * strides_[axis];
      position = 0;
    }
  }
  return result;
}

template <class T>
std::vector<T> TorchTensor::values() const {
  const std::vector<std::byte> bytes = contiguous_bytes();
  std::vector<T> result(static_cast<std::size_t>(numel()));
  dispatch(dtype_, [&](auto element) {
    for (std::size_t i = 0; i < result.size(); ++i) {
      std::memcpy(&element, &bytes[i * sizeof element], sizeof element);
      result[i] = checked<T>(element);
    }
  });
  return result;
}

template std::vector<float> TorchTensor::values<float>() const;
template std::vector<double> TorchTensor::values<double>() const;
template std::vector<std::int64_t> TorchTensor::values<std::int64_t>() const;

DType TorchTensor::tensor_dtype() const { return type_of(dtype_).tensor; }

Tensor TorchTensor::to_tensor(const std::shared_ptr<Backend>& backend) const {
  const DType target = tensor_dtype();
  Tensor result = Tensor::empty(backend, dims_, target);
  if (numel() == 0) return result;
  const View view = result.view();
  if (size_of(dtype_) == size_of(target)) {  // then the elements are the same, too
    if (is_contiguous()) {
      backend->copy_from_host(view.data, first(), view.bytes());
    } else {
      backend->copy_from_host(view.data, contiguous_bytes().data(), view.bytes());
    }
    return result;
  }
  if (dtype_ == TorchDType::f16) {
    return Tensor::from_host<float>(backend, dims_, target, values<float>());
  }
  std::vector<std::int32_t> narrow;
  for (const std::int64_t value : values<std::int64_t>()) {
    if (value != static_cast<std::int32_t>(value)) {
      throw InputError("it has the integer " + std::to_string(value) +
                       ", which does not fit into 32 bits");
    }
    narrow.push_back(static_cast<std::int32_t>(value));
  }
  return Tensor::from_host<std::int32_t>(backend, dims_, target, narrow);
}

void TorchValue::want(TorchKind kind) const {
  if (kind_ == kind) return;
  throw InputError(std::string(name_of(kind_)) + " stands where " + std::string(name_of(kind)) +
                   " is wanted");
}

bool TorchValue::as_boolean() const {
  want(TorchKind::boolean);
  return std::get<bool>(data_);
}

std::int64_t TorchValue::as_integer() const {
  want(TorchKind::integer);
  return std::get<std::int64_t>(data_);
}

double TorchValue::as_number() const {
  if (is(TorchKind::integer)) return static_cast<double>(std::get<std::int64_t>(data_));
  if (is(TorchKind::boolean)) return std::get<bool>(data_) ? 1.0 : 0.0;
  want(TorchKind::number);
  return std::get<double>(data_);
}

const std::string& TorchValue::as_string() const {
  want(TorchKind::string);
  return *std::get<std::shared_ptr<const std::string>>(data_);
}

const std::string& TorchValue::as_bytes() const {
  want(TorchKind::bytes);
  return *std::get<std::shared_ptr<const std::string>>(data_);
}

const TorchTensor& TorchValue::as_tensor() const {
  want(TorchKind::tensor);
  return *std::get<std::shared_ptr<const TorchTensor>>(data_);
}

std::span<const TorchValue> TorchValue::items() const {
  if (!is(TorchKind::tuple)) want(TorchKind::list);
  return *std::get<std::shared_ptr<std::vector<TorchValue>>>(data_);
}

std::span<const TorchEntry> TorchValue::entries() const {
  want(TorchKind::dict);
  return *std::get<std::shared_ptr<std::vector<TorchEntry>>>(data_);
}

const TorchValue* TorchValue::find(std::string_view key) const {
  if (!is(TorchKind::dict)) return nullptr;
  for (const TorchEntry& entry : entries()) {
    if (entry.key.is(TorchKind::string) && entry.key.as_string() == key) return &entry.value;
  }
  return nullptr;
}

const TorchValue* TorchValue::find(std::int64_t key) const {
  if (!is(TorchKind::dict)) return nullptr;
  for (const TorchEntry& entry : entries()) {
    if (entry.key.is(TorchKind::integer) && entry.key.as_integer() == key) return &entry.value;
  }
  return nullptr;
}

TorchValue TorchValue::boolean(bool value) { return {TorchKind::boolean, value}; }
TorchValue TorchValue::integer(std::int64_t value) { return {TorchKind::integer, value}; }
TorchValue TorchValue::number(double value) { return {TorchKind::number, value}; }

TorchValue TorchValue::text(TorchKind kind, std::string value) {
  return {kind, std::make_shared<const std::string>(std::move(value))};
}

TorchValue TorchValue::tensor(TorchTensor value) {
  return {TorchKind::tensor, std::make_shared<const TorchTensor>(std::move(value))};
}

TorchValue TorchValue::sequence(TorchKind kind, std::vector<TorchValue> items) {
  return {kind, std::make_shared<std::vector<TorchValue>>(std::move(items))};
}

TorchValue TorchValue::dict(std::vector<TorchEntry> entries) {
  return {TorchKind::dict, std::make_shared<std::vector<TorchEntry>>(std::move(entries))};
}

}  // namespace cardiograd
