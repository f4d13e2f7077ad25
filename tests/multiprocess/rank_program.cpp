// One rank of communicator_test.cpp's runs: does what its scenario says and checks what comes out;
// a wrong outcome is an error of the rank, which ends the run.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/threads.h"
#include "trainer/communicator.h"
#include "trainer/exit_codes.h"

namespace {

using namespace cardiograd;
using Bytes = Communicator::Bytes;
using Clock = std::chrono::steady_clock;

void expect(bool holds, const std::string& what) {
  if (!holds) throw Error("wrong: " + what);
}

void sleep_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// A number of many magnitudes for each (rank, element): the order of a sum shows in its bits.
template <class T>
T value_of(int rank, std::size_t element) {
  const auto seed = static_cast<std::uint32_t>(element * 2654435761U + 977U * unsigned(rank + 1));
  const double mantissa = static_cast<double>((seed * 1664525U + 1013904223U) >> 8) / (1 << 23);
  return static_cast<T>((mantissa - 1.0) * std::pow(10.0, static_cast<double>(seed % 9U) - 4.0));
}

template <class T>
std::vector<T> values_of(int rank, std::size_t count) {
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = value_of<T>(rank, i);
  return values;
}

template <class T>
std::vector<T> expected_sum(int ranks, std::size_t count) {
  std::vector<T> total = values_of<T>(0, count);
  for (int rank = 1; rank < ranks; ++rank) {
    for (std::size_t i = 0; i < count; ++i) total[i] += value_of<T>(rank, i);
  }
  return total;
}

template <class T>
View view_of(std::vector<T>& values) {
  return {values.data(), dtype_of<T>, {static_cast<std::int64_t>(values.size())}};
}

template <class T>
void check_sums(Communicator& group) {
  for (const std::size_t count : {0UL, 1UL, 3UL, 511UL, 512UL, 1025UL, 4099UL, 300007UL}) {
    std::vector<T> values = values_of<T>(group.rank(), count);
    // Ranks that come at different times must not change a bit.
    if (count == 4099 && group.rank() == 0) sleep_seconds(0.05);
    if (count == 1025 && group.rank() == 1) sleep_seconds(0.05);
    group.all_reduce_sum(view_of(values), "a sum of " + std::to_string(count));
    const std::vector<T> expected = expected_sum<T>(group.size(), count);
    expect(count == 0 || std::memcmp(values.data(), expected.data(), count * sizeof(T)) == 0,
           "the bits of a sum of " + std::to_string(count));
  }
}

void sums(Communicator& group) {
  check_sums<float>(group);
  check_sums<double>(group);
  std::vector<double> host{1.0 + group.rank(), 0.5};
  group.sum(host, "a sum on the host");
  const double n = group.size();
  expect(host[0] == n * (n + 1) / 2 && host[1] == n / 2, "sum of host values");
}

// Buckets that start in order while earlier ones are under way, and are waited for in any order.
void buckets(Communicator& group) {
  const std::vector<std::size_t> sizes{262144, 17, 0, 100003, 262144, 1024, 333333, 5};
  for (int round = 0; round < 3; ++round) {
    std::vector<std::vector<float>> views;
    std::vector<Communicator::Ticket> tickets;
    for (const std::size_t size : sizes) views.push_back(values_of<float>(group.rank(), size));
    for (std::size_t each = 0; each < sizes.size(); ++each) {
      if (static_cast<int>(each) % group.size() == group.rank()) sleep_seconds(0.005);
      tickets.push_back(
          group.start_all_reduce_sum(view_of(views[each]), "bucket " + std::to_string(each)));
    }
    group.wait(tickets[3]);
    expect(views[3] == expected_sum<float>(group.size(), sizes[3]), "bucket 3 after its wait");
    group.wait(tickets[3]);
    group.wait_all();
    for (std::size_t each = 0; each < sizes.size(); ++each) {
      expect(views[each] == expected_sum<float>(group.size(), sizes[each]),
             "bucket " + std::to_string(each));
    }
  }
}

// Floats that the ranks share, of which they add up parts.
class SharedFloats {
 public:
  SharedFloats(Communicator& group, std::size_t count)
      : memory_(group.shared_memory(count * sizeof(float), "the shared memory")) {
    expect(memory_ != nullptr, "there is shared memory");
    for (std::size_t i = 0; i < count; ++i) expect(data()[i] == 0.0F, "it begins with zeros");
  }
  float* data() const { return static_cast<float*>(memory_.get()); }
  View view(std::size_t first, std::size_t count) const {
    return {data() + first, DType::f32, {static_cast<std::int64_t>(count)}};
  }
  void fill(Communicator& group, std::size_t first, std::size_t count) const {
    const std::vector<float> mine = values_of<float>(group.rank(), count);
    std::copy(mine.begin(), mine.end(), data() + first);
  }
  void expect_sum(Communicator& group, std::size_t first, std::size_t count) const {
    const std::vector<float> sum = expected_sum<float>(group.size(), count);
    expect(std::equal(sum.begin(), sum.end(), data() + first), "the bits of a shared sum");
  }

 private:
  std::shared_ptr<void> memory_;
};

// More sums than may be under way, ranks that fall behind in turn, and other calls in between.
void shared_sums(Communicator& group) {
  const std::vector<std::size_t> sizes{262144, 17, 0, 100003, 1024, 1, 333333, 5};
  const SharedFloats floats(group, 800000);
  for (int round = 0; round < 60; ++round) {
    std::vector<Communicator::Ticket> tickets;
    std::size_t first = 0;
    for (std::size_t each = 0; each < sizes.size(); ++each) {
      if ((static_cast<int>(each) + round) % (4 * group.size()) == group.rank()) {
        sleep_seconds(0.002);
      }
      floats.fill(group, first, sizes[each]);
      tickets.push_back(group.start_all_reduce_sum(floats.view(first, sizes[each]), "a bucket"));
      first += sizes[each];
    }
    std::vector<float> apart = values_of<float>(group.rank(), 5000);
    group.all_reduce_sum(view_of(apart), "memory of its own");
    expect(apart == expected_sum<float>(group.size(), 5000), "a sum beside shared ones");
    if (round % 2 == 0) group.wait(tickets[3]);
    group.wait_all();
    first = 0;
    for (const std::size_t size : sizes) {
      floats.expect_sum(group, first, size);
      first += size;
    }
  }
  constexpr std::size_t many = 1000, each = 33;
  for (std::size_t at = 0; at < many; ++at) {
    floats.fill(group, at * each, each);
    group.start_all_reduce_sum(floats.view(at * each, each), "one of many");
  }
  group.wait_all();
  for (std::size_t at = 0; at < many; ++at) floats.expect_sum(group, at * each, each);
  expect(group.shared_memory(std::size_t{1} << 60, "too much") == nullptr, "no room");
}

// Each writes into everybody's memory, beginning with the next rank's.
void places(Communicator& group) {
  const auto ranks = static_cast<std::size_t>(group.size());
  const auto mine = static_cast<std::size_t>(group.rank());
  constexpr std::size_t count = 5000;
  const SharedFloats other(group, 64);
  const SharedFloats floats(group, ranks * count);
  group.barrier("the beginning of writing");
  const std::vector<View> parts = group.places_of(floats.view(mine * count, count));
  expect(parts.size() == ranks, "a place a rank");
  expect(parts[mine].data == floats.view(mine * count, count).data, "this rank's own");
  for (std::size_t each = 1; each <= ranks; ++each) {
    const std::vector<float> values = values_of<float>(group.rank(), count);
    std::copy(values.begin(), values.end(), parts[(mine + each) % ranks].as<float>());
  }
  group.barrier("the end of writing");
  for (int writer = 0; writer < group.size(); ++writer) {
    const std::vector<float> values = values_of<float>(writer, count);
    expect(std::equal(values.begin(), values.end(),
                      floats.data() + static_cast<std::size_t>(writer) * count),
           "what rank " + std::to_string(writer) + " wrote");
  }
  std::vector<float> elsewhere(8);
  expect(group.places_of(view_of(elsewhere)).empty(), "no places of what is not shared");
  group.barrier("the end of reading");
}

Bytes bytes_of(int rank, std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = std::byte(static_cast<unsigned char>(i * 7 + static_cast<std::size_t>(rank)));
  }
  return bytes;
}

void gathers(Communicator& group) {
  for (const std::size_t unit : {0UL, 1UL, 100UL, 700001UL}) {
    // Rank 1 has nothing, the others more and more.
    const auto length = [&](int rank) {
      return rank == 1 ? 0 : unit * static_cast<std::size_t>(rank + 1);
    };
    const Bytes mine = bytes_of(group.rank(), length(group.rank()));
    const std::vector<Bytes> all = group.all_gather_bytes(mine, "an all-gather");
    const std::vector<Bytes> first = group.gather_bytes(mine, "a gather");
    expect(all.size() == static_cast<std::size_t>(group.size()), "parts of an all-gather");
    for (int rank = 0; rank < group.size(); ++rank) {
      expect(all[static_cast<std::size_t>(rank)] == bytes_of(rank, length(rank)), "a part");
    }
    expect(group.is_first() ? first == all : first.empty(), "a gather to rank 0");
    Bytes told = mine;
    group.broadcast_bytes(told, "a broadcast");
    expect(told == bytes_of(0, length(0)), "a broadcast");
  }
}

void flags(Communicator& group) {
  const int last = group.size() - 1;
  expect(group.any(group.rank() == last, "a flag"), "any of one");
  expect(!group.any(false, "a flag"), "any of none");
  expect(!group.all(group.rank() != last, "a flag"), "all but one");
  expect(group.all(true, "a flag"), "all");
  const auto begun = Clock::now();
  if (group.rank() == last) sleep_seconds(0.3);
  group.barrier("a barrier");
  const std::chrono::duration<double> waited = Clock::now() - begun;
  expect(waited.count() > 0.25, "a barrier waits for the last rank");
  const int threads = thread_count(group);
  expect(threads >= 1 && threads <= thread_limit(), "threads of a rank");
}

// After some steps the last rank ends as `end` has it.
void lose_last(Communicator& group, const View& values, const std::function<void()>& end) {
  for (int step = 0; step < 5; ++step) {
    if (step == 3 && group.rank() == group.size() - 1) end();
    group.start_all_reduce_sum(values, "bucket 0 of step " + std::to_string(step));
    group.wait_all();
  }
}
void killed(Communicator& group) {
  std::vector<float> values = values_of<float>(group.rank(), 100000);
  lose_last(group, view_of(values), [] { std::raise(SIGKILL); });
}
void hung(Communicator& group) {
  std::vector<float> values = values_of<float>(group.rank(), 100000);
  lose_last(group, view_of(values), [] { sleep_seconds(600.0); });
}
void shared_killed(Communicator& group) {
  const SharedFloats floats(group, 100000);
  lose_last(group, floats.view(0, 100000), [] { std::raise(SIGKILL); });
}
void shared_hung(Communicator& group) {
  const SharedFloats floats(group, 100000);
  lose_last(group, floats.view(0, 100000), [] { sleep_seconds(600.0); });
}
// The last rank has arrived, but does not add up its segment.
void shared_hung_between(Communicator& group) {
  const SharedFloats floats(group, 100000);
  if (group.rank() == group.size() - 1) {
    group.barrier("the beginning of the sum");
    group.start_all_reduce_sum(floats.view(0, 100000), "bucket 0");
    sleep_seconds(600.0);
  }
  group.start_all_reduce_sum(floats.view(0, 100000), "bucket 0");
  group.barrier("the beginning of the sum");
  group.wait_all();
}
void shared_out_of_step(Communicator& group) {
  const SharedFloats floats(group, 1000);
  group.all_reduce_sum(floats.view(0, 1000), "the first");
  group.all_reduce_sum(floats.view(group.rank() == 0 ? 0 : 16, 100), "the second");
}
void hung_first(Communicator& group) {
  group.barrier("the first step");
  if (group.is_first()) sleep_seconds(600.0);
  Bytes bytes;
  group.broadcast_bytes(bytes, "the broadcast of the model");
}
// The last rank stops after its part of the first of two steps has gone out.
void hung_between(Communicator& group) {
  std::vector<float> values = values_of<float>(group.rank(), 2000);
  if (group.rank() == group.size() - 1) {
    group.start_all_reduce_sum(view_of(values), "bucket 0");
    sleep_seconds(600.0);
  }
  group.all_reduce_sum(view_of(values), "bucket 0");
}

void out_of_step(Communicator& group) {
  if (group.rank() == 0) {
    group.barrier("the end of the epoch");
    group.barrier("one call too many");
  } else {
    group.barrier("the end of the epoch");
    Bytes bytes;
    group.broadcast_bytes(bytes, "the model");
  }
}
void failing(Communicator& group) {
  group.barrier("the beginning");
  if (group.rank() == 1) throw InputError("record 17 cannot be read");
  group.barrier("the end");
}
void all_failing(Communicator& group) {
  group.barrier("the beginning");
  throw InputError("folder data/ does not exist");
}

void times(Communicator& group) {
  for (const std::size_t count : {std::size_t{1} << 18, std::size_t{10} << 18}) {
    std::vector<float> values(count, 0.0F);
    const SharedFloats floats(group, count);
    const std::array<View, 2> views{view_of(values), floats.view(0, count)};
    std::array<std::vector<double>, 2> seconds;
    for (int turn = 0; turn < 202; ++turn) {
      const auto way = static_cast<std::size_t>(turn % 2);
      group.barrier("a turn");
      const auto begun = Clock::now();
      group.all_reduce_sum(views[way], "a turn");
      seconds[way].push_back(std::chrono::duration<double>(Clock::now() - begun).count());
    }
    for (std::size_t way = 0; way < views.size() && group.is_first(); ++way) {
      std::sort(seconds[way].begin(), seconds[way].end());
      std::printf("%zu MB %s: median %.3f ms, fastest %.3f ms\n", count >> 18,
                  way == 0 ? "by messages" : "in shared memory", seconds[way][50] * 1e3,
                  seconds[way][0] * 1e3);
    }
  }
}

using Scenario = void (*)(Communicator&);
const std::map<std::string, Scenario> scenarios{
    {"sums", sums},
    {"buckets", buckets},
    {"shared_sums", shared_sums},
    {"places", places},
    {"gathers", gathers},
    {"flags", flags},
    {"killed", killed},
    {"hung", hung},
    {"hung_first", hung_first},
    {"hung_between", hung_between},
    {"shared_killed", shared_killed},
    {"shared_hung", shared_hung},
    {"shared_hung_between", shared_hung_between},
    {"shared_out_of_step", shared_out_of_step},
    {"out_of_step", out_of_step},
    {"failing", failing},
    {"all_failing", all_failing},
    {"times", times},
};

}  // namespace

// rank_program SCENARIO TIMEOUT_SECONDS
int main(int argc, char** argv) {
  Launch launch;
  try {
    expect(argc == 3, "arguments");
    launch = detect_launch();
    const auto group = make_communicator(launch, nullptr, std::stod(argv[2]));
    scenarios.at(argv[1])(*group);
    if (group->is_first()) {
      std::cout << "done by " << group->size() << " of " << group->name() << '\n';
    }
  } catch (const LostRank& error) {
    return end_after_error(launch, "rank_program", error.what(), exit_lost_rank);
  } catch (const std::exception& error) {
    return end_after_error(launch, "rank_program", error.what(), exit_failed);
  }
  return 0;
}
