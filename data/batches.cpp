#include "data/batches.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "data/wfdb.h"
#include "kernels/philox.h"
#include "kernels/threads.h"

namespace cardiograd {

namespace {

// Shuffling has a stream of its own, apart from the random operations of the forward pass.
constexpr std::uint32_t shuffle_operation = 0xffffffffU;

// The mapped signal's pages stay resident once touched, and a touch maps pages around it as well:
// 64 kB on most systems, 2 MB on some. Letting go of them every few records keeps a run's memory
// independent of the data set's size; the page cache still has them.
constexpr std::int64_t records_between_releases = 32;

// Entries first .. first + count - 1 of a dense view's first dimension.
View entries(const View& view, std::int64_t first, std::int64_t count) {
  Dims dims = view.dims;
  dims[0] = count;
  const auto row = static_cast<std::int64_t>(view.bytes()) / view.dims[0];
  return {static_cast<std::byte*>(view.data) + first * row, view.dtype, dims};
}

std::vector<std::int32_t> counted(std::int64_t first, std::int64_t count) {
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), static_cast<std::int32_t>(first));
  return numbers;
}

std::vector<std::int32_t> joined(std::vector<std::int32_t> first,
                                 const std::vector<std::int32_t>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// Which records a batch reads, on the device.
SignalParts parts_on(const std::shared_ptr<Backend>& queue, const GatherSpec& spec,
                     const std::vector<std::int32_t>& rows,
                     const std::vector<std::int32_t>& partners, const std::vector<float>& shares) {
  SignalParts parts{spec, {}, {}, {}};
  const Dims size{static_cast<std::int64_t>(rows.size())};
  parts.rows = Tensor::from_host<std::int32_t>(queue, size, DType::i32, rows);
  if (shares.empty()) return parts;
  parts.partners = Tensor::from_host<std::int32_t>(queue, size, DType::i32, partners);
  parts.shares = Tensor::from_host<float>(queue, size, DType::f32, shares);
  return parts;
}

View view_of(const Tensor& tensor) { return tensor.defined() ? tensor.view() : View{}; }

// The same memory for the backend that computes; it goes back to the queue that it came from.
Tensor handed_over(const Tensor& made, const std::shared_ptr<Backend>& backend) {
  return made.defined() ? Tensor::borrow(backend, made.view(), made.impl()->storage) : made;
}

}  // namespace

Standardisation lead_statistics(const PackedDataset& dataset,
                                std::span<const std::int32_t> records) {
  std::vector<double> sum(packed_leads), squares(packed_leads), count(packed_leads);
  std::int64_t touched = 0;
  for (std::int32_t record : records) {
    if (++touched % records_between_releases == 0) dataset.release(0, dataset.records());
    const std::span<const std::int16_t> samples = dataset.signal(record);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      if (samples[i] == missing_sample) continue;
      const std::size_t lead = i % packed_leads;
      const double value = samples[i];
      sum[lead] += value;
      squares[lead] += value * value;  // integers: exact up to 2^53
      count[lead] += 1.0;
    }
  }
  Standardisation result;
  for (std::size_t lead = 0; lead < packed_leads; ++lead) {
    const double n = std::max(count[lead], 1.0);
    const double mean = sum[lead] / n;
    const double variance = std::max(squares[lead] / n - mean * mean, 0.0);
    const double gain = dataset.adc_gain()[lead];
    result.mean.push_back(static_cast<float>(mean / gain));
    result.std.push_back(variance > 0.0 ? static_cast<float>(std::sqrt(variance) / gain) : 1.0F);
  }
  return result;
}

ExampleSource::ExampleSource(std::shared_ptr<const PackedDataset> dataset, const LabelTask& task,
                             Options options, std::shared_ptr<Backend> backend)
    : dataset_(std::move(dataset)),
      options_(std::move(options)),
      backend_(std::move(backend)),
      queue_(backend_->second_queue()),
      targets_(make_targets(task, dataset_->likelihood())),
      classes_(static_cast<std::int64_t>(task.classes.size())) {
  if (!options_.notes) {
    options_.note_matrix = nullptr;
  } else if (!options_.note_matrix) {
    options_.note_matrix = std::make_shared<const NoteMatrix>(NoteMatrix::of(dataset_));
  }
  if (!queue_) queue_ = backend_;
  set_standardisation(options_.standardisation);
  make_resident();
}

void ExampleSource::set_standardisation(Standardisation standardisation) {
  options_.standardisation = std::move(standardisation);
  const Standardisation& s = options_.standardisation;
  std::vector<float> scale, shift;
  for (std::size_t lead = 0; lead < packed_leads; ++lead) {
    const float std = s.std.empty() ? 1.0F : s.std[lead];
    const float mean = s.mean.empty() ? 0.0F : s.mean[lead];
    scale.push_back(1.0F / (dataset_->adc_gain()[lead] * std));
    shift.push_back(-mean / std);
  }
  const std::span<const float> gain = dataset_->adc_gain();
  const Dims leads{packed_leads};
  scale_ = Tensor::from_host<float>(queue_, leads, DType::f32, scale);
  shift_ = Tensor::from_host<float>(queue_, leads, DType::f32, shift);
  gain_ = Tensor::from_host<float>(queue_, leads, DType::f32, {gain.begin(), gain.end()});
}

std::vector<std::int32_t> ExampleSource::examples_in(std::span<const int> folds) const {
  std::vector<std::int32_t> examples;
  for (std::size_t example = 0; example < targets_.records.size(); ++example) {
    const int fold = dataset_->fold()[static_cast<std::size_t>(targets_.records[example])];
    if (std::find(folds.begin(), folds.end(), fold) != folds.end()) {
      examples.push_back(static_cast<std::int32_t>(example));
    }
  }
  return examples;
}

std::int32_t ExampleSource::copy_of(std::int32_t example, std::int64_t copy) const {
  constexpr std::int64_t limit = std::numeric_limits<std::int32_t>::max();
  if ((copy + 1) * dataset_->records() > limit) {
    throw InputError("copy " + std::to_string(copy) + " of one of " +
                     std::to_string(dataset_->records()) + " records is one too many");
  }
  return static_cast<std::int32_t>(example + copy * size());
}

std::vector<std::int32_t> ExampleSource::records_of(std::span<const std::int32_t> examples) const {
  std::vector<std::int32_t> records;
  for (std::int32_t example : examples) {
    CG_CHECK(example >= 0 && size() > 0,
             "example " + std::to_string(example) + " of " + std::to_string(size()));
    records.push_back(targets_.records[static_cast<std::size_t>(example % size())]);
  }
  return records;
}

std::int64_t ExampleSource::length() const {
  return options_.length > 0 ? options_.length : dataset_->length();
}

std::span<const float> ExampleSource::targets(std::int32_t example) const {
  return std::span(targets_.targets)
      .subspan(static_cast<std::size_t>(example % size() * classes_),
               static_cast<std::size_t>(classes_));
}

// What a batch is made of, one entry an example.
struct ExampleSource::Parts {
  std::vector<std::int32_t> rows, keys;
  // With mixup; a share of 1 leaves an example as it is.
  std::vector<std::int32_t> partners, partner_rows;
  std::vector<float> shares;

  bool mixed() const { return !shares.empty(); }

  // Appends row_of(example, record) of the examples first .. first + count - 1, mixed.
  template <class RowOf>
  void append(std::span<const std::int32_t> examples, std::int64_t first, std::int64_t count,
              const RowOf& row_of, std::vector<float>& values) const {
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(first + count);
         ++i) {
      const std::span<const float> row = row_of(examples[i], rows[i]);
      const auto at = values.insert(values.end(), row.begin(), row.end());
      if (!mixed() || shares[i] == 1.0F) continue;
      const std::span<const float> other = row_of(partners[i], partner_rows[i]);
      std::transform(
          row.begin(), row.end(), other.begin(), at,
          [share = shares[i]](float a, float b) { return share * a + (1.0F - share) * b; });
    }
  }
};

ExampleSource::Parts ExampleSource::choose(std::span<const std::int32_t> examples,
                                           const Augmentation& augmentation) const {
  Parts parts;
  parts.rows = records_of(examples);
  const bool mixes = augmentation.spec.mixup > 0.0;
  CG_CHECK(!mixes || !augmentation.partners.empty(), "mixup needs examples to draw from");
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const std::int64_t copy = examples[i] / size();
    parts.keys.push_back(static_cast<std::int32_t>(parts.rows[i] + copy * dataset_->records()));
    if (!mixes) continue;
    Mixup mixup;
    if (copy == 0 && augmentation.only_copies) {
      parts.partners.push_back(examples[i]);
    } else {
      mixup = draw_mixup(augmentation.spec, static_cast<std::uint32_t>(parts.keys[i]),
                         static_cast<std::int64_t>(augmentation.partners.size()));
      parts.partners.push_back(augmentation.partners[static_cast<std::size_t>(mixup.partner)]);
    }
    parts.shares.push_back(mixup.share);
  }
  parts.partner_rows = records_of(parts.partners);
  return parts;
}

void ExampleSource::make_resident() {
  const ConstView signal = dataset_->signal();
  if (options_.residency == Residency::host || !options_.signal || queue_->reads_host_memory() ||
      signal.numel() == 0) {
    return;
  }
  const std::size_t half = queue_->free_memory() / 2;
  if (options_.residency == Residency::automatic && signal.bytes() > half) return;
  resident_ = Tensor::empty(queue_, signal.dims, signal.dtype);
  const std::int64_t records = dataset_->records();
  for (std::int64_t first = 0; first < records; first += records_between_releases) {
    const std::int64_t count = std::min(records_between_releases, records - first);
    const std::vector<std::int32_t> rows = counted(first, count);
    queue_->upload_rows(signal, rows, entries(resident_.view(), first, count));
    dataset_->release(0, records);
  }
}

Batch ExampleSource::make(std::span<const std::int32_t> examples, const Augmentation& augmentation,
                          GatherTime time) const {
  Batch batch;
  batch.size = batch.whole = static_cast<std::int64_t>(examples.size());
  const Parts parts = choose(examples, augmentation);
  batch.records = Tensor::from_host<std::int32_t>(queue_, {batch.size}, DType::i32, parts.keys);
  std::vector<float> values;
  parts.append(
      examples, 0, batch.size, [&](auto example, auto) { return targets(example); }, values);
  batch.targets = Tensor::from_host<float>(queue_, {batch.size, classes_}, DType::f32, values);
  if (options_.signal) {
    GatherSpec spec;
    spec.augment = augmentation.spec;
    if (augmentation.only_copies) {
      spec.augment.first_key = static_cast<std::int32_t>(dataset_->records());
    }
    if (time == GatherTime::later && is_resident()) {
      batch.parts = parts_on(queue_, spec, parts.rows, parts.partner_rows, parts.shares);
    } else {
      batch.signal = Tensor::empty(queue_, {batch.size, length(), packed_leads}, options_.dtype);
      queue_->reads_host_memory() ? gather_mapped(spec, parts, batch)
                                  : gather_copied(spec, parts, batch);
    }
  }
  if (options_.notes) {
    values.clear();
    const auto note_of = [&](auto, auto record) { return options_.note_matrix->row(record); };
    for (std::int64_t first = 0; first < batch.size; first += records_between_releases) {
      const std::int64_t count = std::min(records_between_releases, batch.size - first);
      parts.append(examples, first, count, note_of, values);
      dataset_->release(0, dataset_->records());
      options_.note_matrix->release();
    }
    batch.notes = Tensor::from_host<float>(queue_, {batch.size, options_.note_matrix->size()},
                                           options_.dtype, values);
  }
  if (queue_ != backend_) {
    queue_->synchronize();
    for (Tensor* made : {&batch.signal, &batch.notes, &batch.targets, &batch.records,
                         &batch.parts.rows, &batch.parts.partners, &batch.parts.shares}) {
      *made = handed_over(*made, backend_);
    }
  }
  return batch;
}

// From the mapped file, a few records at a time.
void ExampleSource::gather_mapped(const GatherSpec& spec, const Parts& parts,
                                  const Batch& batch) const {
  const SignalParts rows = parts_on(queue_, spec, parts.rows, parts.partner_rows, parts.shares);
  for (std::int64_t first = 0; first < batch.size; first += records_between_releases) {
    const std::int64_t count = std::min(records_between_releases, batch.size - first);
    const auto some = [&](const Tensor& tensor) {
      return tensor.defined() ? entries(tensor.view(), first, count) : View{};
    };
    queue_->gather_records(
        spec,
        {dataset_->signal(), some(rows.rows), scale_.view(), shift_.view(), gain_.view(),
         some(batch.records), some(rows.partners), some(rows.shares)},
        some(batch.signal));
    dataset_->release(0, dataset_->records());
  }
}

// From the device's memory: all records, or those of this batch, which are copied there first.
void ExampleSource::gather_copied(const GatherSpec& spec, const Parts& parts,
                                  const Batch& batch) const {
  std::vector<std::int32_t> rows = parts.rows, partners = parts.partner_rows;
  Tensor records = resident_;
  if (!records.defined()) {
    const std::vector<std::int32_t> wanted = joined(rows, partners);
    const auto total = static_cast<std::int64_t>(wanted.size());
    records = Tensor::empty(queue_, {total, dataset_->length(), packed_leads}, DType::i16);
    for (std::int64_t first = 0; first < total; first += records_between_releases) {
      const std::int64_t count = std::min(records_between_releases, total - first);
      queue_->upload_rows(dataset_->signal(),
                          std::span(wanted).subspan(static_cast<std::size_t>(first),
                                                    static_cast<std::size_t>(count)),
                          entries(records.view(), first, count));
      dataset_->release(0, dataset_->records());
    }
    rows = counted(0, batch.size);
    if (parts.mixed()) partners = counted(batch.size, batch.size);
  }
  gather(parts_on(queue_, spec, rows, partners, parts.shares), records, batch, batch.signal);
}

// By the signal's own queue.
void ExampleSource::gather(const SignalParts& parts, const Tensor& records, const Batch& batch,
                           const Tensor& signal) const {
  signal.backend()->gather_records(
      parts.spec,
      {records.view(), parts.rows.view(), scale_.view(), shift_.view(), gain_.view(),
       batch.records.view(), view_of(parts.partners), view_of(parts.shares)},
      signal.view());
}

Tensor ExampleSource::signal_of(const Batch& batch) const {
  if (!batch.parts.rows.defined()) return batch.signal;
  Tensor signal = Tensor::empty(backend_, {batch.size, length(), packed_leads}, options_.dtype);
  gather(batch.parts, resident_, batch, signal);
  return signal;
}

std::vector<std::int32_t> shuffled(std::vector<std::int32_t> examples, std::uint64_t seed,
                                   std::uint32_t epoch) {
  const RandomKey key{seed, epoch, shuffle_operation};
  for (std::size_t last = examples.size(); last > 1; --last) {
    const Philox::Words words = key.draw(static_cast<std::uint32_t>(last), 0);
    const std::uint64_t wide = (std::uint64_t{words[0]} << 32) | words[1];
    std::swap(examples[last - 1], examples[wide % last]);
  }
  return examples;
}

BatchLoader::BatchLoader(const ExampleSource& source, std::vector<std::int32_t> order,
                         std::int64_t batch_size, Augmentation augmentation, std::size_t ahead)
    : BatchLoader(source, order,
                  shares_of_batches(static_cast<std::int64_t>(order.size()), batch_size, 0, 1),
                  std::move(augmentation), ahead) {}

BatchLoader::BatchLoader(const ExampleSource& source, std::vector<std::int32_t> order,
                         std::vector<Share> shares, Augmentation augmentation, std::size_t ahead,
                         GatherTime time)
    : source_(source),
      order_(std::move(order)),
      shares_(std::move(shares)),
      augmentation_(std::move(augmentation)),
      ahead_(ahead),
      time_(time) {
  CG_CHECK(ahead > 0, "a batch is prepared ahead at least");
  const auto examples = static_cast<std::int64_t>(order_.size());
  for (const Share& share : shares_) {
    CG_CHECK(share.first >= 0 && share.count >= 0 && share.first <= examples - share.count,
             "a share of examples that the order does not have");
  }
  thread_ = std::thread([this] { prepare(); });
}

BatchLoader::~BatchLoader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BatchLoader::prepare() {
  limit_threads(1);
  try {
    for (const Share& share : shares_) {
      Batch batch = source_.make(std::span(order_).subspan(static_cast<std::size_t>(share.first),
                                                           static_cast<std::size_t>(share.count)),
                                 augmentation_, time_);
      batch.whole = share.whole;
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || ready_.size() < ahead_; });
      if (stop_) return;
      ready_.push_back(std::move(batch));
      changed_.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}

bool BatchLoader::next(Batch& batch) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !ready_.empty() || finished_; });
  if (!ready_.empty()) {
    batch = std::move(ready_.front());
    ready_.pop_front();
    changed_.notify_all();
    return true;
  }
  if (error_) std::rethrow_exception(error_);
  return false;
}

}  // namespace cardiograd
