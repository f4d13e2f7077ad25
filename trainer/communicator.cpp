#include "trainer/communicator.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "kernels/backend.h"
#include "kernels/device_group.h"
#include "kernels/text.h"
#include "kernels/threads.h"
#include "trainer/device_communicator.h"
#include "trainer/mpi_communicator.h"

namespace cardiograd {

namespace {

class SingleProcess final : public Communicator {
 public:
  SingleProcess(const Launch& launch, std::shared_ptr<Backend> backend, double timeout_seconds)
      : Communicator(launch, timeout_seconds), backend_(std::move(backend)) {}

  std::string name() const override { return "one process"; }
  Ticket start_all_reduce_sum(const View& view, std::string_view) override {
    CG_CHECK(is_floating(view.dtype),
             "an all-reduce sums f32, f64 or bf16, not " + std::string(name_of(view.dtype)));
    return 0;
  }
  void wait(Ticket) override {}
  void wait_all() override {}
  void finish(std::string_view) override {
    if (backend_) backend_->synchronize();
  }
  std::vector<Bytes> all_gather_bytes(std::span<const std::byte> bytes, std::string_view) override {
    return {Bytes(bytes.begin(), bytes.end())};
  }
  std::vector<Bytes> gather_bytes(std::span<const std::byte> bytes,
                                  std::string_view what) override {
    return all_gather_bytes(bytes, what);
  }
  void broadcast_bytes(Bytes&, std::string_view) override {}

 private:
  std::shared_ptr<Backend> backend_;
};

template <class T>
void append(Communicator::Bytes& bytes, const T* values, std::size_t count) {
  const auto* data = reinterpret_cast<const std::byte*>(values);
  bytes.insert(bytes.end(), data, data + count * sizeof(T));
}

}  // namespace

Communicator::Communicator(const Launch& launch, double timeout_seconds) : launch_(launch) {
  Communicator::set_timeout(timeout_seconds);
}

void Communicator::set_timeout(double seconds) {
  if (!(seconds > 0.0)) throw InputError("run.timeout_seconds must be above 0");
  timeout_seconds_ = seconds;
}

void Communicator::all_reduce_sum(const View& view, std::string_view what) {
  wait(start_all_reduce_sum(view, what));
}

void Communicator::sum(std::span<double> values, std::string_view what) {
  const std::vector<Bytes> parts = all_gather_bytes(std::as_bytes(values), what);
  for (const Bytes& part : parts) {
    CG_CHECK(part.size() == values.size_bytes(),
             "ranks add up different numbers of values at " + std::string(what));
  }
  std::vector<double> part(values.size());
  for (std::size_t each = 0; each < parts.size(); ++each) {
    if (!values.empty()) std::memcpy(part.data(), parts[each].data(), parts[each].size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = each == 0 ? part[i] : values[i] + part[i];
    }
  }
}

bool Communicator::any(bool mine, std::string_view what) {
  const std::byte flag{static_cast<unsigned char>(mine)};
  const std::vector<Bytes> flags = all_gather_bytes({&flag, 1}, what);
  return std::any_of(flags.begin(), flags.end(),
                     [](const Bytes& each) { return !each.empty() && each[0] != std::byte{0}; });
}

bool Communicator::all(bool mine, std::string_view what) { return !any(!mine, what); }

void Communicator::barrier(std::string_view what) { static_cast<void>(all_gather_bytes({}, what)); }

void Communicator::wait_until(const std::function<bool()>& done, std::string_view what) {
  CG_CHECK(done(), std::string(what) + " is not there");
}

std::shared_ptr<void> Communicator::shared_memory(std::size_t, std::string_view) { return nullptr; }

std::vector<View> Communicator::places_of(const View&) const { return {}; }

std::vector<int> Communicator::silent_ranks(double) { return {}; }

std::shared_ptr<Communicator> make_communicator(const Launch& launch,
                                                const std::shared_ptr<Backend>& backend,
                                                double timeout_seconds) {
  if (launch.alone()) return std::make_shared<SingleProcess>(launch, backend, timeout_seconds);
  const bool on_host = backend == nullptr || !wants_device_group(*backend);
  const bool by_mpi = launch.launcher != Launcher::environment;
  if (on_host && !by_mpi) {
    throw InputError("WORLD_SIZE is " + std::to_string(launch.size) +
                     ", but processes on the CPU speak MPI to each other: start them with "
                     "mpirun -np " +
                     std::to_string(launch.size) + ", or unset RANK and WORLD_SIZE");
  }
  if (on_host) return make_mpi_communicator(launch, timeout_seconds);
  if (by_mpi && (mpi_is_built() || launch.master_address.empty())) {
    return make_device_communicator(backend, launch,
                                    make_mpi_communicator(launch, timeout_seconds));
  }
  if (launch.master_address.empty()) {
    throw InputError("WORLD_SIZE is " + std::to_string(launch.size) +
                     ", but MASTER_ADDR or MASTER_PORT is not set: set both to where rank 0 may "
                     "listen, or start with mpirun");
  }
  return make_device_communicator(backend, launch, timeout_seconds);
}

int thread_count(Communicator& communicator) {
  const CpuSet mine = cpus_of_this_process();
  Communicator::Bytes bytes;
  const std::uint64_t count = mine.cpus.size();
  append(bytes, &count, 1);
  append(bytes, mine.cpus.data(), mine.cpus.size());
  append(bytes, mine.machine.data(), mine.machine.size());
  std::vector<CpuSet> ranks;
  for (const Communicator::Bytes& each : communicator.all_gather_bytes(bytes, "counting CPUs")) {
    std::uint64_t cpus = 0;
    std::memcpy(&cpus, each.data(), sizeof cpus);
    CpuSet set;
    set.cpus.resize(cpus);
    const std::size_t end = sizeof cpus + cpus * sizeof(int);
    std::memcpy(set.cpus.data(), each.data() + sizeof cpus, cpus * sizeof(int));
    set.machine.assign(reinterpret_cast<const char*>(each.data()) + end, each.size() - end);
    ranks.push_back(std::move(set));
  }
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return thread_limit();
  return fair_thread_count(ranks, static_cast<std::size_t>(communicator.rank()));
}

int end_after_error(const Launch& launch, const std::string& program, const std::string& sentence,
                    int exit_code) {
  if (launch.alone()) {
    std::fprintf(stderr, "%s: %s\n", program.c_str(), sentence.c_str());
    return exit_code;
  }
  // Ranks that fail together (a missing file, a lost rank) would say so together. The first one
  // speaks and ends the others, who wait long enough to be ended; SIGTERM must do that.
  std::signal(SIGTERM, SIG_DFL);
  if (!launch.is_first()) pause_mpi(0.5 + 0.1 * std::min(launch.rank, 20));
  std::fprintf(stderr, "%s: rank %d: %s\n", program.c_str(), launch.rank, sentence.c_str());
  std::fflush(stderr);
  abort_mpi(exit_code);
  return exit_code;
}

std::string lost_rank_sentence(const std::vector<int>& missing, std::string_view what,
                               double waited) {
  std::vector<std::string> names;
  for (const int rank : missing) names.push_back(std::to_string(rank));
  const bool several = names.size() > 1;
  return (several ? "ranks " : "rank ") + join(names) + " did not arrive at " + std::string(what) +
         " within " + shortest_number(waited) + " seconds: " + (several ? "they" : "it") +
         " died or hung, and without " + (several ? "them" : "it") +
         " the run cannot go on; resume it from its last checkpoint, or raise "
         "run.timeout_seconds where a rank's work takes longer";
}

}  // namespace cardiograd
