// Tensor: a handle on contiguous memory of one backend, and the door to autograd.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace cardiograd {

struct Node;
struct TensorImpl;

// Memory of a backend; given back when the last tensor lets go of it.
class Storage {
 public:
  Storage(std::shared_ptr<Backend> backend, std::size_t bytes);
  // Memory that somebody else owns (a mapped file); `owner` keeps it alive. Read-only by
  // convention, unless the owner lent it for writing.
  Storage(std::shared_ptr<Backend> backend, const void* data, std::shared_ptr<const void> owner);
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  ~Storage();

  void* data() const { return data_; }
  const std::shared_ptr<Backend>& backend() const { return backend_; }

 private:
  std::shared_ptr<Backend> backend_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::shared_ptr<const void> owner_;
};

// Copies share memory, as in PyTorch. A default-constructed tensor is undefined.
class Tensor {
 public:
  Tensor() = default;

  // Content unspecified.
  static Tensor empty(const std::shared_ptr<Backend>& backend, const Dims& dims, DType dtype);
  static Tensor full(const std::shared_ptr<Backend>& backend, const Dims& dims, DType dtype,
                     double value);
  // The element type of `values` is converted to dtype on the way.
  template <class T>
  static Tensor from_host(const std::shared_ptr<Backend>& backend, const Dims& dims, DType dtype,
                          std::span<const T> values);
  // A part of another tensor's memory, from element `offset`; no gradient flows through it.
  Tensor window(std::int64_t offset, const Dims& dims) const;
  // Memory owned elsewhere, e.g. a mapped file: `owner` keeps it alive.
  static Tensor borrow(const std::shared_ptr<Backend>& backend, ConstView view,
                       std::shared_ptr<const void> owner);

  bool defined() const { return impl_ != nullptr; }
  const Dims& dims() const;
  std::int64_t size(int axis) const { return dims()[axis]; }
  std::int64_t numel() const { return dims().numel(); }
  DType dtype() const;
  const std::shared_ptr<Backend>& backend() const;
  View view() const;

  // Elements on the host, converted to T (float, double or std::int32_t).
  template <class T>
  std::vector<T> to_vector() const;
  // The value of a tensor with one element.
  double item() const;

  // -- Autograd.
  bool requires_grad() const;
  // Leaves only: tensors that no recorded operation made.
  Tensor& set_requires_grad(bool on);
  // The gradient of a leaf after backward(); undefined before.
  Tensor grad() const;
  // Back-propagates from this tensor. `seed` is the gradient of the result with respect to it; it
  // may be left out for a tensor of one element, where it is 1. The graph is released on the way.
  void backward(const Tensor& seed = {}) const;
  // The same memory without history.
  Tensor detach() const;

  // For the tape and the flat parameters.
  const std::shared_ptr<TensorImpl>& impl() const { return impl_; }
  explicit Tensor(std::shared_ptr<TensorImpl> impl) : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<TensorImpl> impl_;
};

struct TensorImpl {
  std::shared_ptr<Storage> storage;
  std::size_t byte_offset = 0;
  Dims dims;
  DType dtype = DType::f32;

  bool requires_grad = false;
  std::shared_ptr<Node> producer;  // null for a leaf
  // Leaves: where backward writes. While stale, the content counts as zero and the first
  // contribution overwrites it, so that no pass over memory is spent on clearing.
  Tensor gradient;
  bool gradient_stale = true;
};

}  // namespace cardiograd
