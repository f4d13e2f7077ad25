#include "trainer/shared_sums.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trainer/communicator.h"

namespace cardiograd {

namespace {

constexpr std::size_t page = 4096;

std::size_t whole_pages(std::size_t bytes) { return (bytes + page - 1) / page * page; }

// Process numbers mean something to processes of one namespace alone.
std::string process_namespace() {
  std::array<char, 64> text{};
  const ssize_t length = readlink("/proc/self/ns/pid", text.data(), text.size());
  return length <= 0 ? "" : std::string(text.data(), static_cast<std::size_t>(length));
}

std::uint64_t load(std::uint64_t& counter) {
  return std::atomic_ref(counter).load(std::memory_order_acquire);
}

// All that this rank wrote before is there for who sees the new value.
void store(std::uint64_t& counter, std::uint64_t value) {
  std::atomic_ref(counter).store(value, std::memory_order_release);
}

}  // namespace

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (file_ >= 0) close(file_);
}

bool SharedMemory::map(std::size_t bytes) {
  void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
  if (data == MAP_FAILED) return false;
  data_ = static_cast<std::byte*>(data);
  bytes_ = bytes;
  return true;
}

std::shared_ptr<SharedMemory> SharedMemory::make(std::size_t bytes) {
  std::shared_ptr<SharedMemory> memory(new SharedMemory);
  memory->file_ = memfd_create("cardiograd", MFD_CLOEXEC);
  const bool made = memory->file_ >= 0 && bytes <= LONG_MAX &&
                    ftruncate(memory->file_, static_cast<off_t>(bytes)) == 0 && memory->map(bytes);
  return made ? memory : nullptr;
}

std::vector<std::byte> SharedMemory::address() const {
  const std::string text =
      process_namespace() + " /proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file_);
  const auto* const data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

std::shared_ptr<SharedMemory> SharedMemory::open(const std::vector<std::byte>& address,
                                                 std::size_t bytes) {
  const std::string text(reinterpret_cast<const char*>(address.data()), address.size());
  const std::string known = process_namespace() + " ";
  if (known.size() == 1 || text.rfind(known, 0) != 0) return nullptr;
  std::shared_ptr<SharedMemory> memory(new SharedMemory);
  memory->file_ = ::open(text.c_str() + known.size(), O_RDWR | O_CLOEXEC);
  struct stat about {};
  const bool there = memory->file_ >= 0 && fstat(memory->file_, &about) == 0 &&
                     about.st_size == static_cast<off_t>(bytes) && memory->map(bytes);
  return there ? memory : nullptr;
}

bool SharedMemory::reserve(std::size_t offset, std::size_t bytes) {
  int status = 0;
  do {
    status = fallocate(file_, 0, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  } while (status != 0 && errno == EINTR);
  return status == 0;
}

// How far a rank is. Counters lie in lines of the cache of their own, because others look at them.
struct SharedSums::Seat {
  alignas(64) std::uint64_t arrived = 0;  // sums whose view nobody touches but who adds up
  alignas(64) std::uint64_t added = 0;    // sums of which this rank's segment is everywhere
  alignas(64) std::array<Extent, most_pending_sums> extents{};  // of the latest sums
};

// The way of a view to its sum: wait for all to arrive, add up one segment, wait for all to add.
class SharedSum final : public PendingSum {
 public:
  SharedSum(std::shared_ptr<SharedSums> sums, std::uint64_t number, const View& view,
            std::string what)
      : PendingSum(std::move(what)), sums_(std::move(sums)), number_(number), view_(view) {}

  bool advance() override {
    if (!added_) {
      // The last rank may have come between a look at the sum before and this one.
      std::uint64_t& added = sums_->seat(sums_->rank_).added;
      if (added != number_ || !awaited().empty()) return false;
      check_extents();
      view_.dtype == DType::f64 ? add_up<double>() : add_up<float>();
      store(added, number_ + 1);
      added_ = true;
    }
    return awaited().empty();
  }

  std::set<int> awaited() const override {
    std::set<int> result;
    for (int rank = 0; rank < sums_->size_; ++rank) {
      SharedSums::Seat& seat = sums_->seat(rank);
      if (load(added_ ? seat.added : seat.arrived) <= number_) result.insert(rank);
    }
    return result;
  }

 private:
  SharedSums::Extent extent_of(int rank) const {
    return sums_->seat(rank).extents[number_ % most_pending_sums];
  }
  void check_extents() const {
    const SharedSums::Extent mine = extent_of(sums_->rank_);
    for (int rank = 0; rank < sums_->size_; ++rank) {
      const SharedSums::Extent theirs = extent_of(rank);
      if (theirs.offset == mine.offset && theirs.bytes == mine.bytes) continue;
      throw LostRank("rank " + std::to_string(rank) + " is out of step at " + what() +
                     ": it adds up " + std::to_string(theirs.bytes) + " bytes from byte " +
                     std::to_string(theirs.offset) + " on, where rank " +
                     std::to_string(sums_->rank_) + " has " + std::to_string(mine.bytes) +
                     " bytes from byte " + std::to_string(mine.offset) + " on");
    }
  }
  template <class T>
  void add_up() {
    const Segment segment =
        segment_of(static_cast<std::size_t>(view_.numel()), sums_->size_, sums_->rank_);
    const std::size_t offset = extent_of(sums_->rank_).offset;
    std::vector<T*> parts;
    for (int rank = 0; rank < sums_->size_; ++rank) {
      parts.push_back(reinterpret_cast<T*>(sums_->region(rank) + offset) + segment.begin);
    }
    const std::vector<const T*> sources(parts.begin(), parts.end());
    add_in_order<T>(sources, parts, segment.size());
  }

  std::shared_ptr<SharedSums> sums_;
  std::uint64_t number_;
  View view_;
  bool added_ = false;
};

std::size_t SharedSums::bytes_for(int size, std::size_t bytes) {
  return static_cast<std::size_t>(size) * (whole_pages(sizeof(Seat)) + whole_pages(bytes));
}

std::shared_ptr<SharedSums> SharedSums::join(std::shared_ptr<SharedMemory> memory, int rank,
                                             int size, std::size_t bytes) {
  std::shared_ptr<SharedSums> sums(new SharedSums);
  sums->memory_ = std::move(memory);
  sums->rank_ = rank;
  sums->size_ = size;
  sums->bytes_ = bytes;
  const auto reserve = [&](const void* data, std::size_t length) {
    const auto offset = static_cast<const std::byte*>(data) - sums->memory_->data();
    return length == 0 || sums->memory_->reserve(static_cast<std::size_t>(offset), length);
  };
  const bool room = reserve(&sums->seat(rank), sizeof(Seat)) && reserve(sums->mine(), bytes);
  return room ? sums : nullptr;
}

SharedSums::Seat& SharedSums::seat(int rank) const {
  std::byte* const place =
      memory_->data() + static_cast<std::size_t>(rank) * whole_pages(sizeof(Seat));
  return *reinterpret_cast<Seat*>(place);
}

std::byte* SharedSums::region(int rank) const {
  return memory_->data() + static_cast<std::size_t>(size_) * whole_pages(sizeof(Seat)) +
         static_cast<std::size_t>(rank) * whole_pages(bytes_);
}

bool SharedSums::holds(const View& view) const {
  const auto begin = reinterpret_cast<std::uintptr_t>(view.data);
  const auto first = reinterpret_cast<std::uintptr_t>(mine());
  return begin >= first && begin - first <= bytes_ && view.bytes() <= bytes_ - (begin - first);
}

std::size_t SharedSums::offset_of(const View& view) const {
  return static_cast<std::size_t>(static_cast<const std::byte*>(view.data) - mine());
}

std::vector<View> SharedSums::places_of(const View& view) const {
  std::vector<View> places;
  for (int rank = 0; rank < size_; ++rank) {
    places.push_back({region(rank) + offset_of(view), view.dtype, view.dims});
  }
  return places;
}

std::unique_ptr<PendingSum> SharedSums::start(const View& view, std::string what) {
  Seat& seat = this->seat(rank_);
  const std::uint64_t number = started_++;
  seat.extents[number % most_pending_sums] = {offset_of(view), view.bytes()};
  store(seat.arrived, number + 1);
  return std::make_unique<SharedSum>(shared_from_this(), number, view, std::move(what));
}

}  // namespace cardiograd
