// Collectives out of MPI's point-to-point messages: each rank speaks to each, so that a rank that
// waits knows for whom, which MPI's own collectives would not tell, and waits with a deadline.
#include "trainer/mpi_communicator.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <functional>
#include <list>
#include <mpi.h>
#include <set>

#include "kernels/text.h"
#include "trainer/deadline.h"
#include "trainer/exit_codes.h"
#include "trainer/mpi_messages.h"
#include "trainer/pending_sum.h"
#include "trainer/shared_sums.h"

namespace cardiograd {

namespace {

using Bytes = Communicator::Bytes;

// The way of a view to its sum by messages. First every rank gets one segment of everybody's view
// and adds them up, then it sends the sum to all. What is short goes whole to everybody, who each
// add it up.
class MessageSum final : public PendingSum {
 public:
  // Takes its buffer from `spare`, which must outlive it, and gives it back.
  MessageSum(MPI_Comm comm, int rank, int size, int tag, const View& view, std::string what,
             std::vector<Bytes>& spare)
      : PendingSum(std::move(what)),
        rank_(rank),
        size_(size),
        tag_(tag),
        view_(view),
        messages_(comm, PendingSum::what()),
        spare_(spare) {
    if (!spare_.empty()) {
      received_ = std::move(spare_.back());
      spare_.pop_back();
    }
    const Segment mine = segment(rank_);
    received_.resize(mine.size() * element() * static_cast<std::size_t>(size_ - 1));
    std::size_t slot = 0;
    each_peer([&](int peer) {
      const std::size_t bytes = mine.size() * element();
      messages_.receive(peer, received_.data() + slot++ * bytes, bytes, tag_);
    });
    each_peer([&](int peer) { send(peer, segment(peer), tag_); });
  }

  ~MessageSum() override { spare_.push_back(std::move(received_)); }

  bool advance() override {
    if (finished_ || !messages_.done()) return finished_;
    if (!added_) {
      add_up();
      added_ = true;
      if (!is_short()) {
        share();
        return finished_ = messages_.done();
      }
    }
    return finished_ = true;
  }

  std::set<int> awaited() const override { return messages_.peers(); }

 private:
  std::size_t element() const { return size_of(view_.dtype); }
  bool is_short() const { return view_.bytes() <= 4096; }
  Segment segment(int owner) const {
    const auto count = static_cast<std::size_t>(view_.numel());
    if (is_short()) return {0, count};
    return segment_of(count, size_, owner);
  }
  template <class F>
  void each_peer(F&& f) {
    // Everybody begins with the next rank, so that not all send to rank 0 first.
    for (int step = 1; step < size_; ++step) f((rank_ + step) % size_);
  }
  void send(int peer, const Segment& part, int tag) {
    messages_.send(peer, static_cast<std::byte*>(view_.data) + part.begin * element(),
                   part.size() * element(), tag);
  }
  void share() {
    each_peer([&](int peer) {
      const Segment part = segment(peer);
      messages_.receive(peer, static_cast<std::byte*>(view_.data) + part.begin * element(),
                        part.size() * element(), tag_ + 1);
    });
    each_peer([&](int peer) { send(peer, segment(rank_), tag_ + 1); });
  }
  void add_up() {
    if (view_.dtype == DType::f64) {
      add_up_as<double>();
    } else {
      add_up_as<float>();
    }
  }
  template <class T>
  void add_up_as() {
    const Segment mine = segment(rank_);
    if (mine.size() == 0) return;
    T* values = view_.as<T>() + mine.begin;
    std::vector<const T*> sources(static_cast<std::size_t>(size_), values);
    std::size_t slot = 0;
    each_peer([&](int peer) {
      sources[static_cast<std::size_t>(peer)] =
          reinterpret_cast<const T*>(received_.data()) + slot++ * mine.size();
    });
    add_in_order<T>(sources, {&values, 1}, mine.size());
  }

  int rank_;
  int size_;
  int tag_;
  View view_;
  Messages messages_;
  std::vector<Bytes>& spare_;
  Bytes received_;  // the peers' parts of our segment, in the order of each_peer
  bool added_ = false;
  bool finished_ = false;
};

constexpr const char* remedy =
    "start with the mpirun of the same MPI, or with srun --mpi=pmix (srun --mpi=list shows what "
    "there is)";

constexpr int call_tag = 1;  // "are you waiting?"
constexpr int answer_tag = 2;
constexpr int tags = 8192;  // operations that can be told apart; MPI promises 32767 tags
constexpr int tags_of_one = 3;

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(const Launch& launch, double timeout_seconds)
      : Communicator(launch, timeout_seconds) {
    int ready = 0;
    MPI_Initialized(&ready);
    if (!ready) {
      check_process_manager();
      int level = 0;
      check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "its beginning");
    }
    check_ranks();
    for (MPI_Comm* comm : {&data_, &calls_}) {
      check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, comm), "its beginning");
      MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN);
    }
    MPI_Comm machine = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split_type(data_, MPI_COMM_TYPE_SHARED, rank(), MPI_INFO_NULL, &machine),
              "its beginning");
    MPI_Comm_rank(machine, &launch_.local_rank);
    MPI_Comm_size(machine, &launch_.local_size);
    MPI_Comm_free(&machine);
  }

  // At the process's exit, after a run without a lost rank: all end together.
  ~MpiCommunicator() override {
    try {
      wait_all();
      barrier("the end of the run");
      MPI_Finalize();
    } catch (const Error& error) {
      end_after_error(launch_, "MPI", error.what(), exit_lost_rank);
    }
  }

  std::string name() const override {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
    int length = 0;
    MPI_Get_library_version(text.data(), &length);
    std::string version(text.data(), static_cast<std::size_t>(length));
    version = version.substr(0, version.find(','));
    if (version.rfind("Open MPI v", 0) == 0) version.erase(9, 1);
    return "MPI (" + version + ")";
  }

  Ticket start_all_reduce_sum(const View& view, std::string_view what) override {
    check_alive();
    CG_CHECK(view.dtype == DType::f32 || view.dtype == DType::f64,
             "an all-reduce on the CPU sums f32 or f64, not " + std::string(name_of(view.dtype)));
    advance();  // nothing moves unless somebody calls
    while (pending_.size() >= most_pending_sums) wait(pending_.front().first);
    pending_.emplace_back(next_ticket_, start_sum(view, std::string(what)));
    return next_ticket_++;
  }

  void wait(Ticket ticket) override {
    check_alive();
    CG_CHECK(ticket < next_ticket_, "ticket " + std::to_string(ticket) + " was never given");
    const auto found = [&] {
      return std::find_if(pending_.begin(), pending_.end(),
                          [&](const auto& each) { return each.first == ticket; });
    };
    if (found() == pending_.end()) return;
    const std::string what = found()->second->what();
    poll(
        [&] {
          advance();
          return found() == pending_.end();
        },
        [&] { return found()->second->awaited(); }, what);
  }

  void wait_all() override {
    check_alive();
    while (!pending_.empty()) wait(pending_.front().first);
  }

  void finish(std::string_view) override { wait_all(); }

  std::shared_ptr<void> shared_memory(std::size_t bytes, std::string_view what) override {
    check_alive();
    if (local_size() != size()) return nullptr;
    const std::size_t all_bytes = SharedSums::bytes_for(size(), bytes);
    std::shared_ptr<SharedMemory> memory;
    Bytes address;
    if (is_first()) {
      memory = SharedMemory::make(all_bytes);
      if (memory) address = memory->address();
    }
    broadcast_bytes(address, what);
    if (!is_first() && !address.empty()) memory = SharedMemory::open(address, all_bytes);
    std::shared_ptr<SharedSums> sums;
    if (memory) sums = SharedSums::join(memory, rank(), size(), bytes);
    if (!all(sums != nullptr, what)) return nullptr;
    std::erase_if(shared_, [](const auto& each) { return each.expired(); });
    shared_.push_back(sums);
    return {sums, sums->mine()};
  }

  std::vector<View> places_of(const View& view) const override {
    const std::shared_ptr<SharedSums> sums = sums_of(view);
    return sums ? sums->places_of(view) : std::vector<View>();
  }

  std::vector<Bytes> all_gather_bytes(std::span<const std::byte> bytes,
                                      std::string_view what) override {
    return collect(bytes, what, true);
  }
  std::vector<Bytes> gather_bytes(std::span<const std::byte> bytes,
                                  std::string_view what) override {
    return collect(bytes, what, false);
  }

  void broadcast_bytes(Bytes& bytes, std::string_view what) override {
    check_alive();
    const int tag = next_tag();
    Messages messages(data_, std::string(what));
    std::uint64_t length = bytes.size();
    if (is_first()) {
      for (int peer = 1; peer < size(); ++peer) {
        messages.send(peer, &length, sizeof length, tag);
        messages.send(peer, bytes.data(), bytes.size(), tag + 1);
      }
    } else {
      messages.receive(0, &length, sizeof length, tag);
      complete(messages);
      bytes.resize(length);
      messages.receive(0, bytes.data(), bytes.size(), tag + 1);
    }
    complete(messages);
  }

  void answer_calls() override {
    for (;;) {
      int there = 0;
      MPI_Status status;
      check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, call_tag, calls_, &there, &status), "asking who waits");
      if (!there) return;
      check_mpi(
          MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, call_tag, calls_, MPI_STATUS_IGNORE),
          "asking who waits");
      answers_.push_back(where_);
      post(status.MPI_SOURCE, answers_.back(), answer_tag);
    }
  }

  std::vector<int> silent_ranks(double seconds) override {
    std::vector<int> result;
    const std::vector<std::string> places = ask_all(seconds);
    for (int peer = 0; peer < size(); ++peer) {
      if (peer != rank() && places[static_cast<std::size_t>(peer)].empty()) result.push_back(peer);
    }
    return result;
  }

  // Of a rank that has given up and is about to end.
  bool has_given_up() const { return !lost_.empty(); }

 private:
  void check_ranks() const {
    int mpi_size = 0;
    int mpi_rank = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &mpi_size);
    MPI_Comm_rank(MPI_COMM_WORLD, &mpi_rank);
    if (mpi_size == size() && mpi_rank == rank()) return;
    throw InputError(name_of(launch_.launcher) + " says that this is rank " +
                     std::to_string(rank()) + " of " + std::to_string(size()) +
                     ", but MPI sees rank " + std::to_string(mpi_rank) + " of " +
                     std::to_string(mpi_size) + ": " + remedy);
  }
  // Without it MPI ends the process itself, with a page about how to build MPI.
  void check_process_manager() const {
    if (launch_.launcher != Launcher::srun) return;
    for (const char* sign : {"PMIX_NAMESPACE", "PMI_RANK", "PMI_FD", "PALS_RANKID"}) {
      if (std::getenv(sign) != nullptr) return;
    }
    throw InputError(
        "srun started these processes without PMI, by which MPI's ranks find each other: " +
        std::string(remedy));
  }
  void check_alive() const {
    if (!lost_.empty()) throw LostRank(lost_);
  }
  int next_tag() { return tags_of_one * static_cast<int>(operations_++ % tags); }

  std::shared_ptr<SharedSums> sums_of(const View& view) const {
    for (const std::weak_ptr<SharedSums>& each : shared_) {
      std::shared_ptr<SharedSums> sums = each.lock();
      if (sums && sums->holds(view)) return sums;
    }
    return nullptr;
  }

  std::unique_ptr<PendingSum> start_sum(const View& view, std::string what) {
    if (const auto sums = sums_of(view)) return sums->start(view, std::move(what));
    return std::make_unique<MessageSum>(data_, rank(), size(), next_tag(), view, std::move(what),
                                        spare_);
  }

  // Every outstanding sum, oldest first.
  void advance() {
    std::erase_if(pending_, [](auto& each) { return each.second->advance(); });
  }

  void complete(Messages& messages) {
    poll(
        [&] {
          advance();
          return messages.done();
        },
        [&] { return messages.peers(); }, messages.what());
  }

  void poll(const std::function<bool()>& done, const std::function<std::set<int>()>& peers,
            const std::string& what) {
    Deadline deadline(timeout() - grace_of(timeout()));
    where_ = "\"" + what + "\"";
    while (!done()) {
      if (deadline.over()) give_up(peers(), what);
      if (deadline.is_time_to_listen()) answer_calls();
      deadline.pause();
    }
  }

  // Those that we wait for may themselves wait for somebody: only who does not answer is missing.
  [[noreturn]] void give_up(const std::set<int>& awaited, const std::string& what) {
    const std::vector<std::string> places = ask_all(grace_of(timeout()));
    std::vector<int> missing;
    std::string elsewhere;
    for (int peer = 0; peer < size(); ++peer) {
      const std::string& place = places[static_cast<std::size_t>(peer)];
      if (peer == rank()) continue;
      if (place.empty()) missing.push_back(peer);
      if (!place.empty() && place != where_ && awaited.count(peer) && elsewhere.empty()) {
        elsewhere = "rank " + std::to_string(peer) + " waits at " + place;
      }
    }
    if (!missing.empty()) {
      lost_ = lost_rank_sentence(missing, what, timeout());
    } else {
      lost_ = "the ranks are out of step: rank " + std::to_string(rank()) + " waits at " + where_ +
              ", " + (elsewhere.empty() ? "and all the others wait too" : elsewhere) +
              "; please report this as an error of the program";
    }
    throw LostRank(lost_);
  }

  // Where each rank waits; empty for those that do not answer within `seconds`, and for this one.
  std::vector<std::string> ask_all(double seconds) {
    std::vector<std::string> places(static_cast<std::size_t>(size()));
    for (int peer = 0; peer < size(); ++peer) {
      if (peer != rank()) post(peer, "", call_tag);
    }
    Deadline deadline(seconds);
    for (int answered = 1; answered < size() && !deadline.over();) {
      answer_calls();
      int there = 0;
      MPI_Status status;
      check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, answer_tag, calls_, &there, &status),
                "asking who waits");
      if (there) {
        int length = 0;
        MPI_Get_count(&status, MPI_BYTE, &length);
        std::string& place = places[static_cast<std::size_t>(status.MPI_SOURCE)];
        place.resize(static_cast<std::size_t>(length));
        check_mpi(MPI_Recv(place.data(), length, MPI_BYTE, status.MPI_SOURCE, answer_tag, calls_,
                           MPI_STATUS_IGNORE),
                  "asking who waits");
        ++answered;
      }
      deadline.pause();
    }
    // Who asks later must hear that this rank waits, too.
    while (!deadline.over()) {
      answer_calls();
      deadline.pause();
    }
    return places;
  }

  // A short message whose text outlives it; nobody waits until it has gone.
  void post(int peer, const std::string& text, int tag) {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(text.data(), static_cast<int>(text.size()), MPI_BYTE, peer, tag, calls_,
                        &request),
              "asking who waits");
    MPI_Request_free(&request);
  }

  // Lengths first, then what is not empty.
  std::vector<Bytes> collect(std::span<const std::byte> bytes, std::string_view what,
                             bool to_everyone) {
    check_alive();
    const int tag = next_tag();
    const bool takes = to_everyone || is_first();
    const std::uint64_t length = bytes.size();
    std::vector<std::uint64_t> lengths(static_cast<std::size_t>(size()), length);
    Messages messages(data_, std::string(what));
    for (int peer = 0; peer < size(); ++peer) {
      if (peer == rank()) continue;
      if (takes) {
        messages.receive(peer, &lengths[static_cast<std::size_t>(peer)], sizeof length, tag);
      }
      if (to_everyone || peer == 0) {
        messages.send(peer, &length, sizeof length, tag);
      }
    }
    complete(messages);
    std::vector<Bytes> result(takes ? static_cast<std::size_t>(size()) : 0);
    for (int peer = 0; peer < size(); ++peer) {
      if (takes) {
        Bytes& part = result[static_cast<std::size_t>(peer)];
        part.resize(lengths[static_cast<std::size_t>(peer)]);
        if (peer != rank()) messages.receive(peer, part.data(), part.size(), tag + 1);
      }
      if (peer != rank() && (to_everyone || peer == 0)) {
        messages.send(peer, bytes.data(), bytes.size(), tag + 1);
      }
    }
    if (takes) {
      std::copy(bytes.begin(), bytes.end(), result[static_cast<std::size_t>(rank())].begin());
    }
    complete(messages);
    return result;
  }

  MPI_Comm data_ = MPI_COMM_NULL;
  MPI_Comm calls_ = MPI_COMM_NULL;
  std::vector<Bytes> spare_;                                           // of MessageSum
  std::list<std::pair<Ticket, std::unique_ptr<PendingSum>>> pending_;  // in their tickets' order
  std::vector<std::weak_ptr<SharedSums>> shared_;
  Ticket next_ticket_ = 0;
  std::uint64_t operations_ = 0;
  std::string where_ = "the beginning of the run";  // the operation that this rank waits in
  std::deque<std::string> answers_;                 // on their way
  std::string lost_;                                // the sentence that every call repeats
};

MpiCommunicator* running = nullptr;

}  // namespace

bool mpi_is_built() { return true; }

std::shared_ptr<Communicator> make_mpi_communicator(const Launch& launch, double timeout_seconds) {
  static const auto communicator = std::make_shared<MpiCommunicator>(launch, timeout_seconds);
  running = communicator.get();
  communicator->set_timeout(timeout_seconds);
  return communicator;
}

void pause_mpi(double seconds) {
  Deadline deadline(seconds);
  while (!deadline.over()) {
    if (running != nullptr && running->has_given_up()) running->answer_calls();
    deadline.pause();
  }
}

void abort_mpi(int exit_code) {
  int ready = 0;
  int ended = 0;
  MPI_Initialized(&ready);
  MPI_Finalized(&ended);
  if (ready && !ended) MPI_Abort(MPI_COMM_WORLD, exit_code);
}

}  // namespace cardiograd
