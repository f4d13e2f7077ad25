#include "nn/flat_parameters.h"

#include <algorithm>
#include <set>

#include "kernels/text.h"
#include "nn/tape.h"

namespace cardiograd {

namespace {

constexpr std::int64_t already_reported = -1;

InputError fits_nothing(const std::string& pattern, const std::vector<NamedTensor>& parameters) {
  std::vector<std::string> names;
  for (const NamedTensor& entry : parameters) names.push_back(entry.name);
  const std::string_view guess = nearest(pattern, names);
  return InputError("no parameter fits the frozen " + quote(pattern) +
                    (guess.empty() ? "; the first of the names is " : "; the nearest name is ") +
                    quote(guess.empty() ? std::string_view(names.front()) : guess));
}

// Takes the gradient from what the patterns fit; returns the others, each once.
std::vector<NamedTensor> trained_parameters(const Module& module,
                                            const std::vector<std::string>& frozen) {
  const std::vector<NamedTensor> all = module.parameters();
  CG_CHECK(!all.empty(), "a module without parameters cannot be trained");
  for (const std::string& pattern : frozen) {
    bool fits = false;
    for (const NamedTensor& entry : all) {
      if (!matches(pattern, entry.name)) continue;
      fits = true;
      Tensor(entry.tensor).set_requires_grad(false);
    }
    if (!fits) throw fits_nothing(pattern, all);
  }
  std::vector<NamedTensor> trained;
  std::set<const TensorImpl*> seen;
  for (const NamedTensor& entry : all) {
    const bool is_new = seen.insert(entry.tensor.impl().get()).second;
    if (is_new && entry.tensor.requires_grad()) trained.push_back(entry);
  }
  if (trained.empty()) throw InputError("all parameters are frozen: nothing is left to train");
  return trained;
}

bool gets_weight_decay(const NamedTensor& entry) { return entry.tensor.dims().rank() >= 2; }

}  // namespace

FlatParameters::FlatParameters(const Module& module, const FlatOptions& options)
    : memory_(options.memory) {
  std::vector<NamedTensor> trained = trained_parameters(module, options.frozen);
  if (options.decay_groups) {
    std::stable_partition(trained.begin(), trained.end(), gets_weight_decay);
  }
  lay_out(trained, options.decay_groups);
  cut_buckets(options.bucket_bytes);
  const std::shared_ptr<Backend>& backend = values_.backend();
  for (std::size_t i = 0; i < spans_.size(); ++i) {
    const Tensor value = part(values_, spans_[i]);
    TensorImpl& impl = *parameters_[i].impl();
    backend->copy(parameters_[i].view(), value.view());
    impl.storage = value.impl()->storage;
    impl.byte_offset = value.impl()->byte_offset;
    impl.gradient = part(gradients_, spans_[i]);
    impl.gradient_stale = true;
  }
  refresh_master();
}

void FlatParameters::lay_out(const std::vector<NamedTensor>& trained, bool decay_groups) {
  const DType dtype = trained.front().tensor.dtype();
  const auto unit = static_cast<std::int64_t>(64 / size_of(dtype));
  std::int64_t total = 0;
  for (const NamedTensor& entry : trained) {
    CG_CHECK(entry.tensor.dtype() == dtype, "parameter " + entry.name + " is " +
                                                std::string(name_of(entry.tensor.dtype())) +
                                                ", the others are " + std::string(name_of(dtype)));
    index_[entry.tensor.impl().get()] = spans_.size();
    spans_.push_back({entry.name, total, entry.tensor.dims(), entry.layout});
    parameters_.push_back(entry.tensor);
    total += (entry.tensor.numel() + unit - 1) / unit * unit;
    if (!decay_groups || gets_weight_decay(entry)) decayed_ = total;
  }
  const std::shared_ptr<Backend>& backend = trained.front().tensor.backend();
  values_ = zeros(backend, total, dtype);
  master_ = dtype == DType::bf16 ? zeros(backend, total, DType::f32) : values_;
  gradients_ = zeros(backend, total, dtype);
}

Tensor FlatParameters::zeros(const std::shared_ptr<Backend>& backend, std::int64_t count,
                             DType dtype) const {
  std::shared_ptr<void> memory;
  if (memory_) memory = memory_(static_cast<std::size_t>(count) * size_of(dtype));
  if (!memory) return Tensor::full(backend, {count}, dtype, 0.0);
  const Tensor result = Tensor::borrow(backend, {memory.get(), dtype, {count}}, memory);
  backend->fill(result.view(), 0.0);
  return result;
}

Tensor FlatParameters::zeros() const {
  return zeros(master_.backend(), master_.numel(), master_.dtype());
}

void FlatParameters::cut_buckets(std::int64_t bucket_bytes) {
  const auto size = static_cast<std::int64_t>(size_of(gradients_.dtype()));
  bucket_of_.resize(spans_.size());
  std::int64_t end = gradients_.numel();
  Bucket bucket;
  for (std::size_t i = spans_.size(); i-- > 0;) {
    bucket.first = spans_[i].offset;
    bucket.count = end - bucket.first;
    bucket.waiting = ++bucket.parameters;
    bucket_of_[i] = buckets_.size();
    if (i == 0 || bucket.first == decayed_ || bucket.count * size >= bucket_bytes) {
      buckets_.push_back(bucket);
      end = bucket.first;
      bucket = {};
    }
  }
}

void FlatParameters::refresh_master() {
  if (master_.dtype() != values_.dtype()) values_.backend()->cast(values_.view(), master_.view());
}

const FlatParameters::Span* FlatParameters::span_of(const Tensor& parameter) const {
  const auto found = index_.find(parameter.impl().get());
  return found == index_.end() ? nullptr : &spans_[found->second];
}

Tensor FlatParameters::part(const Tensor& flat, const Span& span) {
  return flat.window(span.offset, span.dims);
}

void FlatParameters::zero_grad() {
  for (const Tensor& parameter : parameters_) parameter.impl()->gradient_stale = true;
  for (Bucket& bucket : buckets_) bucket.waiting = bucket.parameters;
  reporting_ = false;
}

void FlatParameters::backward(const Tensor& loss, bool last_pass) {
  CG_CHECK(!reporting_,
           "backward() after the last pass of this step: call zero_grad() first, or say last_pass "
           "= false in all passes but the last");
  if (!last_pass || !on_ready_) return run_backward(loss, {});
  reporting_ = true;
  run_backward(loss, {}, [this](const Tensor& leaf) {
    const auto found = index_.find(leaf.impl().get());
    if (found != index_.end()) complete(found->second);
  });
}

// A leaf whose gradient was handed to nobody in this pass (an operation that has none) waits for
// finish_gradients, which knows that it is zero.
void FlatParameters::complete(std::size_t parameter) {
  if (parameters_[parameter].impl()->gradient_stale) return;
  Bucket& bucket = buckets_[bucket_of_[parameter]];
  if (--bucket.waiting == 0) report(bucket);
}

void FlatParameters::report(Bucket& bucket) {
  bucket.waiting = already_reported;
  if (on_ready_) on_ready_(bucket.first, bucket.count);
}

void FlatParameters::finish_gradients() {
  for (const Tensor& parameter : parameters_) {
    TensorImpl& impl = *parameter.impl();
    if (!impl.gradient_stale) continue;
    parameter.backend()->fill(impl.gradient.view(), 0.0);
    impl.gradient_stale = false;
  }
  reporting_ = static_cast<bool>(on_ready_);
  for (Bucket& bucket : buckets_) {
    if (bucket.waiting != already_reported) report(bucket);
  }
}

}  // namespace cardiograd
