#include "trainer/ranks.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <sstream>
#include <utility>

#include "kernels/backend.h"
#include "kernels/threads.h"
#include "trainer/config_fields.h"

namespace cardiograd {

namespace {

// Rank 0 draws pictures and bootstrap intervals at the end.
constexpr double longest_ending_seconds = 3600.0;

std::string device_of(const Launch& launch, const std::string& device) {
  const bool own = device == "cuda" && !launch.alone();
  return own ? device + ":" + std::to_string(launch.local_rank) : device;
}

// What must be the same on all ranks, a line a key. Machines may keep the data at different places.
std::string common_config(RunConfig config) {
  const std::set<std::string> own{"device", "threads", "data.path", "data.notes", "plan_file"};
  std::string text;
  for (const ConfigField& field : config_fields()) {
    if (own.count(field.key) == 0) text += field.key + " = " + to_text(field.slot(config)) + "\n";
  }
  return text;
}

Communicator::Bytes bytes_of(const std::string& text) {
  const auto* const data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

std::string text_of(const Communicator::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The first line in which two texts differ, of each.
std::pair<std::string, std::string> first_difference(const std::string& a, const std::string& b) {
  std::istringstream left(a), right(b);
  std::pair<std::string, std::string> lines;
  do {
    lines = {"nothing", "nothing"};
    std::getline(left, lines.first);
    std::getline(right, lines.second);
  } while (lines.first == lines.second && (left || right));
  return lines;
}

}  // namespace

Ranks::Ranks(const Launch& launch, const RunConfig& config)
    : backend_(make_backend(device_of(launch, config.device), backend_options(config))),
      communicator_(make_communicator(launch, backend_, config.run.timeout_seconds)) {
  if (alone()) return;
  const int threads = thread_count(*communicator_);
  if (config.threads == 0) limit_threads(threads);
  check_same(common_config(config), "configuration");
}

std::string Ranks::describe() const {
  return alone() ? "" : std::to_string(size()) + " processes, " + communicator_->name();
}

std::string Ranks::from_first(const std::function<std::string()>& say,
                              std::string_view what) const {
  Communicator::Bytes bytes;
  if (is_first()) bytes = bytes_of(say());
  communicator_->broadcast_bytes(bytes, what);
  return text_of(bytes);
}

void Ranks::check_same(const std::string& text, const std::string& what) const {
  const auto all = communicator_->all_gather_bytes(bytes_of(text), "comparing the " + what);
  const std::string first = text_of(all.front());
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    const std::string other = text_of(all[rank]);
    if (other == first) continue;
    const auto [theirs, ours] = first_difference(other, first);
    throw InputError("rank " + std::to_string(rank) + " has another " + what +
                     " than rank 0: " + theirs + ", but rank 0 has " + ours +
                     "; start all ranks with the same " + what);
  }
}

void Ranks::broadcast(const std::vector<NamedTensor>& tensors, std::string_view what) const {
  if (alone()) return;
  std::size_t total = 0;
  for (const NamedTensor& each : tensors) total += each.tensor.view().bytes();
  Communicator::Bytes bytes(total);
  std::size_t at = 0;
  for (const NamedTensor& each : tensors) {
    if (!is_first()) break;
    const View view = each.tensor.view();
    backend_->copy_to_host(bytes.data() + at, view.data, view.bytes());
    at += view.bytes();
  }
  communicator_->broadcast_bytes(bytes, what);
  CG_CHECK(bytes.size() == total,
           "the ranks hold tensors of different sizes at " + std::string(what));
  at = 0;
  for (const NamedTensor& each : tensors) {
    if (is_first()) break;
    const View view = each.tensor.view();
    backend_->copy_from_host(view.data, bytes.data() + at, view.bytes());
    at += view.bytes();
  }
}

void Ranks::meet(std::string_view what) const { communicator_->barrier(what); }

void Ranks::leave_to_first() const {
  communicator_->set_timeout(std::max(communicator_->timeout(), longest_ending_seconds));
}

RankExchange::Asked RankExchange::take_asked() {
  const int stop = signals_.stop_signal();
  Asked asked{};
  std::size_t i = 0;
  for (const bool flag : {stop == SIGTERM, stop == SIGINT, signals_.take_save_request(),
                          std::exchange(asks_checkpoint_, false)}) {
    asked[i++] = flag ? 1.0F : 0.0F;
  }
  return asked;
}

void RankExchange::hear(std::span<const float> sums) {
  CG_CHECK(sums.size() == Asked().size(), "the ranks ask for other things");
  if (stop_ == 0) stop_ = sums[0] > 0.0F ? SIGTERM : sums[1] > 0.0F ? SIGINT : 0;
  save_ = save_ || sums[2] > 0.0F;
  if (sums[3] > 0.0F) {
    checkpoint_ = true;
    awaits_checkpoint_ = false;
  }
}

void RankExchange::share(std::string_view what) {
  Asked asked = take_asked();
  std::array<double, Asked().size()> sums{};
  std::copy(asked.begin(), asked.end(), sums.begin());
  ranks_.communicator().sum(sums, what);
  std::transform(sums.begin(), sums.end(), asked.begin(),
                 [](double sum) { return static_cast<float>(sum); });
  hear(asked);
}

GradientReduction::GradientReduction(FlatParameters& parameters, const Ranks& ranks)
    : parameters_(parameters), ranks_(ranks) {
  parameters_.on_ready([this](std::int64_t first, std::int64_t count) {
    ready_.push_back({first, count});
    start_ready();
  });
}

void GradientReduction::begin(std::string what) {
  what_ = std::move(what);
  ready_.clear();
  started_ = 0;
}

void GradientReduction::finish() {
  parameters_.finish_gradients();
  if (order_.empty()) agree_on_order();
  CG_CHECK(started_ == order_.size(), "a bucket of gradients was not reported");
  ranks_.communicator().wait_all();
}

void GradientReduction::start_ready() {
  const Tensor& gradients = parameters_.gradients();
  while (started_ < order_.size()) {
    const auto found = std::find_if(ready_.begin(), ready_.end(), [&](const Bucket& bucket) {
      return bucket.first == order_[started_];
    });
    if (found == ready_.end()) return;
    ranks_.communicator().start_all_reduce_sum(
        gradients.window(found->first, {found->count}).view(), what_);
    ready_.erase(found);
    ++started_;
  }
}

void GradientReduction::agree_on_order() {
  for (const Bucket& bucket : ready_) order_.push_back(bucket.first);
  Communicator::Bytes bytes(order_.size() * sizeof order_.front());
  std::memcpy(bytes.data(), order_.data(), bytes.size());
  ranks_.communicator().broadcast_bytes(bytes, "the order of the gradients");
  CG_CHECK(bytes.size() == order_.size() * sizeof order_.front(),
           "the ranks cut the gradients into different buckets");
  std::memcpy(order_.data(), bytes.data(), bytes.size());
  start_ready();
}

}  // namespace cardiograd
