#include "nn/flat_parameters.h"

namespace cardiograd {

FlatParameters::FlatParameters(const Module& module) {
  std::vector<NamedTensor> named = module.parameters();
  CG_CHECK(!named.empty(), "a module without parameters cannot be trained");
  const DType dtype = named.front().tensor.dtype();
  const auto unit = static_cast<std::int64_t>(64 / size_of(dtype));
  std::int64_t total = 0;
  for (const NamedTensor& entry : named) {
    CG_CHECK(entry.tensor.dtype() == dtype, "parameter " + entry.name + " is " +
                                                std::string(name_of(entry.tensor.dtype())) +
                                                ", the others are " + std::string(name_of(dtype)));
    spans_.push_back({entry.name, total, entry.tensor.dims(), entry.layout});
    parameters_.push_back(entry.tensor);
    total += (entry.tensor.numel() + unit - 1) / unit * unit;
  }
  const std::shared_ptr<Backend> backend = named.front().tensor.backend();
  values_ = Tensor::full(backend, {total}, dtype, 0.0);
  gradients_ = Tensor::full(backend, {total}, dtype, 0.0);
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    const Tensor value = part(values_, spans_[i]);
    TensorImpl& impl = *parameters_[i].impl();
    backend->copy(parameters_[i].view(), value.view());
    impl.storage = value.impl()->storage;
    impl.byte_offset = value.impl()->byte_offset;
    impl.gradient = part(gradients_, spans_[i]);
    impl.gradient_stale = true;
  }
}

Tensor FlatParameters::part(const Tensor& flat, const Span& span) {
  return flat.window(span.offset, span.dims);
}

void FlatParameters::zero_grad() {
  for (const Tensor& parameter : parameters_) parameter.impl()->gradient_stale = true;
}

void FlatParameters::finish_gradients() {
  for (const Tensor& parameter : parameters_) {
    TensorImpl& impl = *parameter.impl();
    if (!impl.gradient_stale) continue;
    parameter.backend()->fill(impl.gradient.view(), 0.0);
    impl.gradient_stale = false;
  }
}

}  // namespace cardiograd
