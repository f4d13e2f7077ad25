#include "trainer/device_communicator.h"

#include <algorithm>
#include <cstring>

#include "kernels/backend.h"
#include "kernels/text.h"
#include "trainer/deadline.h"

namespace cardiograd {

namespace {

// Memory of a backend, for one exchange.
class DeviceBytes {
 public:
  DeviceBytes(Backend& backend, std::size_t bytes)
      : backend_(backend), bytes_(bytes), data_(backend.allocate(bytes)) {}
  ~DeviceBytes() { backend_.deallocate(data_, bytes_); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  View view() const { return {data_, DType::u8, {static_cast<std::int64_t>(bytes_)}}; }

 private:
  Backend& backend_;
  std::size_t bytes_;
  void* data_;
};

}  // namespace

DeviceCommunicator::DeviceCommunicator(const Launch& launch, double timeout_seconds,
                                       std::shared_ptr<Backend> backend,
                                       std::unique_ptr<DeviceGroup> group,
                                       std::shared_ptr<Communicator> host)
    : Communicator(launch, timeout_seconds),
      backend_(std::move(backend)),
      host_(std::move(host)),
      group_(std::move(group)) {
  until_ready("the beginning of the run");
}

std::string DeviceCommunicator::name() const {
  return group_->name() + (host_ ? " with " + host_->name() : "");
}

void DeviceCommunicator::set_timeout(double seconds) {
  Communicator::set_timeout(seconds);
  if (host_) host_->set_timeout(seconds);
}

void DeviceCommunicator::check_alive() const {
  if (!lost_.empty()) throw LostRank(lost_);
}

void DeviceCommunicator::give_up(std::string_view what, const std::string& reason) {
  const std::vector<int> missing = silent_ranks(grace_of(timeout()));
  group_->abort();
  lost_ = !missing.empty()
              ? lost_rank_sentence(missing, what, timeout())
              : std::string(what) + " failed on rank " + std::to_string(rank()) + " of " +
                    std::to_string(size()) + ", because " + reason +
                    "; see what the other ranks say, then resume the run from its last checkpoint";
  throw LostRank(lost_);
}

void DeviceCommunicator::wait_until(const std::function<bool()>& done, std::string_view what) {
  check_alive();
  Deadline deadline(timeout() - grace_of(timeout()));
  for (;;) {
    if (group_->state() == DeviceGroup::State::failed) give_up(what, group_->failure());
    if (done()) return;
    if (deadline.over()) {
      give_up(what, "a rank did not arrive within " + shortest_number(timeout()) + " seconds" +
                        (host_ ? ""
                               : " (" + group_->name() +
                                     " alone cannot tell which one: mpirun or srun can)"));
    }
    if (deadline.is_time_to_listen()) answer_calls();
    deadline.pause();
  }
}

void DeviceCommunicator::until_ready(std::string_view what) {
  wait_until([this] { return group_->state() == DeviceGroup::State::ready; }, what);
}

DeviceCommunicator::Ticket DeviceCommunicator::start_all_reduce_sum(const View& view,
                                                                    std::string_view what) {
  check_alive();
  CG_CHECK(is_floating(view.dtype),
           "an all-reduce sums f32, f64 or bf16, not " + std::string(name_of(view.dtype)));
  if (view.numel() > 0) {
    group_->enqueue_all_reduce_sum(view);
    until_ready(what);  // a mark made earlier could stand before the sum
  }
  group_->mark(static_cast<std::size_t>(next_ - first_));
  return next_++;
}

void DeviceCommunicator::wait(Ticket ticket) {
  check_alive();
  CG_CHECK(ticket < next_, "ticket " + std::to_string(ticket) + " was never given");
  if (ticket >= first_) group_->join(static_cast<std::size_t>(ticket - first_));
}

void DeviceCommunicator::wait_all() {
  check_alive();
  if (next_ > first_) wait(next_ - 1);  // the group's queue keeps the order
  first_ = next_;
}

void DeviceCommunicator::finish(std::string_view what) {
  wait_all();
  wait_until([this] { return group_->idle(); }, what);
}

Communicator::Bytes DeviceCommunicator::gather_equal(std::span<const std::byte> bytes,
                                                     std::string_view what) {
  Bytes result(bytes.size() * static_cast<std::size_t>(size()));
  if (result.empty()) return result;
  const DeviceBytes mine(*backend_, bytes.size());
  const DeviceBytes all(*backend_, result.size());
  backend_->copy_from_host(mine.view().data, bytes.data(), bytes.size());
  group_->enqueue_all_gather(mine.view(), all.view());
  until_ready(what);
  group_->mark(static_cast<std::size_t>(next_++ - first_));
  finish(what);
  backend_->copy_to_host(result.data(), all.view().data, result.size());
  return result;
}

std::vector<Communicator::Bytes> DeviceCommunicator::all_gather_bytes(
    std::span<const std::byte> bytes, std::string_view what) {
  check_alive();
  if (host_) return host_->all_gather_bytes(bytes, what);
  const std::uint64_t length = bytes.size();
  const Bytes gathered = gather_equal(std::as_bytes(std::span(&length, 1)), what);
  std::vector<std::uint64_t> lengths(static_cast<std::size_t>(size()));
  std::memcpy(lengths.data(), gathered.data(), gathered.size());
  const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
  Bytes padded(bytes.begin(), bytes.end());
  padded.resize(longest);
  const Bytes all = gather_equal(padded, what);
  std::vector<Bytes> result;
  for (std::size_t each = 0; each < lengths.size(); ++each) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(each * longest);
    result.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(lengths[each]));
  }
  return result;
}

std::vector<Communicator::Bytes> DeviceCommunicator::gather_bytes(std::span<const std::byte> bytes,
                                                                  std::string_view what) {
  check_alive();
  if (host_) return host_->gather_bytes(bytes, what);
  std::vector<Bytes> all = all_gather_bytes(bytes, what);
  if (!is_first()) all.clear();
  return all;
}

void DeviceCommunicator::broadcast_bytes(Bytes& bytes, std::string_view what) {
  check_alive();
  if (host_) return host_->broadcast_bytes(bytes, what);
  const std::span<const std::byte> given = bytes;
  bytes = all_gather_bytes(is_first() ? given : std::span<const std::byte>(), what).front();
}

void DeviceCommunicator::answer_calls() {
  if (host_) host_->answer_calls();
}

std::vector<int> DeviceCommunicator::silent_ranks(double seconds) {
  return host_ ? host_->silent_ranks(seconds) : std::vector<int>();
}

std::shared_ptr<Communicator> make_device_communicator(const std::shared_ptr<Backend>& backend,
                                                       const Launch& launch,
                                                       const std::shared_ptr<Communicator>& host) {
  const std::string what = "the beginning of the run";
  Communicator::Bytes bytes;
  if (host->is_first()) {
    const DeviceGroupId made = make_device_group_id();
    bytes.assign(made.begin(), made.end());
  }
  host->broadcast_bytes(bytes, what);
  DeviceGroupId id{};
  std::copy_n(bytes.begin(), id.size(), id.begin());
  return std::make_shared<DeviceCommunicator>(
      launch, host->timeout(), backend, make_device_group(backend, launch.rank, launch.size, id),
      host);
}

std::shared_ptr<Communicator> make_device_communicator(const std::shared_ptr<Backend>& backend,
                                                       const Launch& launch,
                                                       double timeout_seconds) {
  const DeviceGroupId id = make_device_group_id(launch.master_address, launch.master_port);
  return std::make_shared<DeviceCommunicator>(
      launch, timeout_seconds, backend, make_device_group(backend, launch.rank, launch.size, id),
      nullptr);
}

}  // namespace cardiograd
