#include "nn/tensor.h"

#include "nn/tape.h"

namespace cardiograd {

Storage::Storage(std::shared_ptr<Backend> backend, std::size_t bytes)
    : backend_(std::move(backend)), data_(backend_->allocate(bytes)), bytes_(bytes) {}

Storage::Storage(std::shared_ptr<Backend> backend, const void* data,
                 std::shared_ptr<const void> owner)
    : backend_(std::move(backend)), data_(const_cast<void*>(data)), owner_(std::move(owner)) {}

Storage::~Storage() {
  if (!owner_) backend_->deallocate(data_, bytes_);
}

Tensor Tensor::empty(const std::shared_ptr<Backend>& backend, const Dims& dims, DType dtype) {
  auto impl = std::make_shared<TensorImpl>();
  try {
    impl->storage =
        std::make_shared<Storage>(backend, static_cast<std::size_t>(dims.numel()) * size_of(dtype));
  } catch (const DeviceError& error) {
    throw DeviceError("a tensor of shape " + dims.to_string() + " (" + std::string(name_of(dtype)) +
                      ") cannot be had: " + error.what());
  }
  impl->dims = dims;
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

Tensor Tensor::full(const std::shared_ptr<Backend>& backend, const Dims& dims, DType dtype,
                    double value) {
  Tensor result = empty(backend, dims, dtype);
  backend->fill(result.view(), value);
  return result;
}

template <class T>
Tensor Tensor::from_host(const std::shared_ptr<Backend>& backend, const Dims& dims, DType dtype,
                         std::span<const T> values) {
  CG_CHECK(
      static_cast<std::int64_t>(values.size()) == dims.numel(),
      std::to_string(values.size()) + " values cannot fill a tensor of shape " + dims.to_string());
  Tensor result = empty(backend, dims, dtype_of<T>);
  backend->copy_from_host(result.view().data, values.data(), values.size_bytes());
  if (dtype == dtype_of<T>) return result;
  Tensor converted = empty(backend, dims, dtype);
  backend->cast(result.view(), converted.view());
  return converted;
}

Tensor Tensor::window(std::int64_t offset, const Dims& window_dims) const {
  CG_CHECK(offset >= 0 && offset + window_dims.numel() <= numel(),
           "a window of shape " + window_dims.to_string() + " at element " +
               std::to_string(offset) + " does not fit into a tensor of shape " +
               dims().to_string());
  auto part = std::make_shared<TensorImpl>();
  part->storage = impl_->storage;
  part->byte_offset = impl_->byte_offset + static_cast<std::size_t>(offset) * size_of(dtype());
  part->dims = window_dims;
  part->dtype = dtype();
  return Tensor(std::move(part));
}

Tensor Tensor::borrow(const std::shared_ptr<Backend>& backend, ConstView view,
                      std::shared_ptr<const void> owner) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::make_shared<Storage>(backend, view.data, std::move(owner));
  impl->dims = view.dims;
  impl->dtype = view.dtype;
  return Tensor(std::move(impl));
}

const Dims& Tensor::dims() const {
  CG_CHECK(defined(), "this tensor is undefined: it was declared but never given a value");
  return impl_->dims;
}

DType Tensor::dtype() const {
  CG_CHECK(defined(), "this tensor is undefined: it was declared but never given a value");
  return impl_->dtype;
}

const std::shared_ptr<Backend>& Tensor::backend() const {
  CG_CHECK(defined(), "this tensor is undefined: it was declared but never given a value");
  return impl_->storage->backend();
}

View Tensor::view() const {
  CG_CHECK(defined(), "this tensor is undefined: it was declared but never given a value");
  return {static_cast<std::byte*>(impl_->storage->data()) + impl_->byte_offset, impl_->dtype,
          impl_->dims};
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  Tensor source = *this;
  if (dtype() != dtype_of<T>) {
    source = empty(backend(), dims(), dtype_of<T>);
    backend()->cast(view(), source.view());
  }
  std::vector<T> values(static_cast<std::size_t>(numel()));
  backend()->copy_to_host(values.data(), source.view().data, values.size() * sizeof(T));
  return values;
}

double Tensor::item() const {
  CG_CHECK(numel() == 1,
           "item() needs a tensor of one element, this one has shape " + dims().to_string());
  return to_vector<double>().front();
}

bool Tensor::requires_grad() const { return defined() && impl_->requires_grad; }

Tensor& Tensor::set_requires_grad(bool on) {
  CG_CHECK(defined() && !impl_->producer && is_floating(dtype()),
           "only a floating-point leaf tensor can be asked for a gradient");
  impl_->requires_grad = on;
  return *this;
}

Tensor Tensor::grad() const {
  CG_CHECK(defined(), "this tensor is undefined: it was declared but never given a value");
  return impl_->gradient_stale ? Tensor() : impl_->gradient;
}

void Tensor::backward(const Tensor& seed) const { run_backward(*this, seed); }

Tensor Tensor::detach() const { return defined() ? window(0, dims()) : Tensor(); }

template Tensor Tensor::from_host(const std::shared_ptr<Backend>&, const Dims&, DType,
                                  std::span<const float>);
template Tensor Tensor::from_host(const std::shared_ptr<Backend>&, const Dims&, DType,
                                  std::span<const double>);
template Tensor Tensor::from_host(const std::shared_ptr<Backend>&, const Dims&, DType,
                                  std::span<const std::int32_t>);
template Tensor Tensor::from_host(const std::shared_ptr<Backend>&, const Dims&, DType,
                                  std::span<const std::int16_t>);
template Tensor Tensor::from_host(const std::shared_ptr<Backend>&, const Dims&, DType,
                                  std::span<const std::uint8_t>);
template std::vector<float> Tensor::to_vector() const;
template std::vector<double> Tensor::to_vector() const;
template std::vector<std::int32_t> Tensor::to_vector() const;

}  // namespace cardiograd
