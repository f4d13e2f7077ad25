// Plain views of memory: pointer, dtype, dims. Always contiguous, last dimension fastest; never
// owning.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/dtype.h"
#include "kernels/error.h"

namespace cardiograd {

// Up to six dimensions, without a heap allocation. Rank 0 is a scalar with one element.
class Dims {
 public:
  static constexpr int max_rank = 6;

  Dims() = default;
  Dims(std::initializer_list<std::int64_t> sizes)
      : Dims(std::span<const std::int64_t>(sizes.begin(), sizes.size())) {}
  explicit Dims(std::span<const std::int64_t> sizes) {
    CG_CHECK(sizes.size() <= max_rank, "a shape has at most 6 dimensions");
    for (std::int64_t size : sizes) push_back(size);
  }

  int rank() const { return rank_; }
  // Negative indices count from the end.
  std::int64_t operator[](int axis) const { return sizes_[static_cast<std::size_t>(index(axis))]; }
  std::int64_t& operator[](int axis) { return sizes_[static_cast<std::size_t>(index(axis))]; }
  const std::int64_t* begin() const { return sizes_.data(); }
  const std::int64_t* end() const { return sizes_.data() + rank_; }
  void push_back(std::int64_t size) {
    CG_CHECK(rank_ < max_rank && size >= 0, "a shape has at most 6 dimensions, none negative");
    sizes_[static_cast<std::size_t>(rank_++)] = size;
  }

  std::int64_t numel() const {
    std::int64_t product = 1;
    for (std::int64_t size : *this) product *= size;
    return product;
  }
  bool operator==(const Dims& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }
  std::string to_string() const {
    std::string text = "[";
    for (int axis = 0; axis < rank_; ++axis) {
      text += (axis ? ", " : "") + std::to_string(sizes_[static_cast<std::size_t>(axis)]);
    }
    return text + "]";
  }

 private:
  int index(int axis) const {
    const int at = axis < 0 ? axis + rank_ : axis;
    CG_CHECK(at >= 0 && at < rank_,
             "axis " + std::to_string(axis) + " does not exist in shape " + to_string());
    return at;
  }

  std::array<std::int64_t, max_rank> sizes_{};
  int rank_ = 0;
};

// A view whose elements may be written. A default-constructed view stands for an absent optional
// operand (bias, weight of a loss, a gradient that nobody wants).
struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  Dims dims;

  bool present() const { return data != nullptr; }
  std::int64_t numel() const { return dims.numel(); }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype); }
  template <class T>
  T* as() const {
    CG_CHECK(dtype_of<T> == dtype, "expected elements of " + std::string(name_of(dtype_of<T>)) +
                                       ", got " + std::string(name_of(dtype)));
    return static_cast<T*>(data);
  }
};

// The same, read-only.
struct ConstView {
  const void* data = nullptr;
  DType dtype = DType::f32;
  Dims dims;

  ConstView() = default;
  ConstView(const void* pointer, DType type, const Dims& shape)
      : data(pointer), dtype(type), dims(shape) {}
  ConstView(const View& view)  // NOLINT(google-explicit-constructor): every View may be read
      : data(view.data), dtype(view.dtype), dims(view.dims) {}

  bool present() const { return data != nullptr; }
  std::int64_t numel() const { return dims.numel(); }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype); }
  template <class T>
  const T* as() const {
    CG_CHECK(dtype_of<T> == dtype, "expected elements of " + std::string(name_of(dtype_of<T>)) +
                                       ", got " + std::string(name_of(dtype)));
    return static_cast<const T*>(data);
  }
};

}  // namespace cardiograd
