#include "tests/emulator/emulator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <vector>

#include "tests/emulator/fibre.h"
#include "tests/emulator/shared_memory.h"

namespace cardiograd::emulator {

Dim3 thread_index;
Dim3 block_index;
Dim3 block_size;
Dim3 grid_size;

namespace {

enum class State : std::uint8_t { unstarted, ready, at_barrier, at_warp, done };

struct AsyncCopy {
  void* to;
  std::array<unsigned char, 16> bytes;
  int group;
};

struct Thread {
  Dim3 index;
  State state = State::unstarted;
  Fibre* fibre = nullptr;
  // What it waits for.
  const char* operation = "";
  std::source_location where;
  bool predicate = false;
  std::uint32_t mask = 0;
  void* payload = nullptr;
  std::vector<AsyncCopy> copies;
  int groups = 0;
};

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         std::strcmp(a.file_name(), b.file_name()) == 0;
}

// "kernels/cuda/reduce.cu:55"
std::string text_of(const std::source_location& where) {
  std::string file = where.file_name();
  // The compiler was given the path from the root, or from the build's folder.
  const std::string root = CARDIOGRAD_SOURCE_DIR "/";
  if (file.rfind(root, 0) == 0) file.erase(0, root.size());
  while (file.rfind("../", 0) == 0) file.erase(0, 3);
  if (file.rfind("./", 0) == 0) file.erase(0, 2);
  return file + ":" + std::to_string(where.line());
}

std::string text_of(const Dim3& index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " +
         std::to_string(index.z) + ")";
}

Dim3 position(std::size_t number, const Dim3& size) {
  return {static_cast<unsigned>(number % size.x), static_cast<unsigned>(number / size.x % size.y),
          static_cast<unsigned>(number / size.x / size.y)};
}

std::size_t volume(const Dim3& size) { return static_cast<std::size_t>(size.x) * size.y * size.z; }

// Runs one grid at a time.
class Machine {
 public:
  void run(const Launch& launch);
  [[noreturn]] void stop(const std::string& what, const std::source_location& where);
  int block_barrier(Barrier kind, bool predicate, const std::source_location& where);
  void warp_meeting(const char* operation, std::uint32_t mask, void* payload, Combine combine,
                    const std::source_location& where);
  Thread& current() { return threads_[current_]; }
  int lane() const { return static_cast<int>(current_ % 32); }
  SharedMemory& shared() { return shared_; }

  Order order = Order::ascending;
  std::uint64_t seed = 1;
  std::set<std::string> launched;

 private:
  void check(const Launch& launch) const;
  void run_block(std::size_t block);
  void arrange(std::vector<std::size_t>& turns);
  void make_current(std::size_t number);
  Fibre* take_fibre();
  bool begin_next();
  void release_barrier(Barrier kind);
  std::string stuck() const;
  [[noreturn]] void fail(const std::string& what);
  static void work();

  const Launch* launch_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<std::size_t> turns_;  // of this pass over the block's threads
  std::size_t cursor_ = 0;          // in turns_
  std::size_t current_ = 0;
  std::size_t done_ = 0;
  std::size_t at_barrier_ = 0;
  int barrier_result_ = 0;
  std::array<int, 32> waiting_in_warp_{};
  std::vector<std::unique_ptr<Fibre>> fibres_;
  std::vector<Fibre*> idle_;
  SharedMemory shared_;
  std::mt19937_64 random_;
  std::string failure_;
};

Machine& machine() {
  static Machine instance;
  return instance;
}

void Machine::check(const Launch& launch) const {
  const auto refuse = [&](const std::string& why) {
    throw EmulatorError("kernel " + launch.kernel + " cannot be launched: " + why);
  };
  const std::size_t threads = volume(launch.block);
  if (threads == 0 || threads > 1024 || launch.block.z > 64) {
    refuse("a block has 1 to 1024 threads, not " + text_of(launch.block));
  }
  if (launch.grid.x > 0x7fffffffU || launch.grid.y > 65535 || launch.grid.z > 65535) {
    refuse("a grid has at most (2147483647, 65535, 65535) blocks, not " + text_of(launch.grid));
  }
  if (launch.shared_bytes > SharedMemory::most_bytes) {
    refuse(std::to_string(launch.shared_bytes) + " bytes of shared memory are more than " +
           std::to_string(SharedMemory::most_bytes));
  }
}

void Machine::arrange(std::vector<std::size_t>& turns) {
  switch (order) {
    case Order::ascending:
      for (std::size_t i = 0; i < turns.size(); ++i) turns[i] = i;
      break;
    case Order::descending:
      for (std::size_t i = 0; i < turns.size(); ++i) turns[i] = turns.size() - 1 - i;
      break;
    case Order::shuffled:
      for (std::size_t i = 0; i < turns.size(); ++i) turns[i] = i;
      std::shuffle(turns.begin(), turns.end(), random_);
      break;
  }
}

void Machine::run(const Launch& launch) {
  check(launch);
  launched.insert(launch.kernel);
  launch_ = &launch;
  grid_size = launch.grid;
  block_size = launch.block;
  random_.seed(seed);
  const std::size_t count = volume(launch.block);
  threads_.resize(count);
  turns_.resize(count);
  for (std::size_t i = 0; i < count; ++i) threads_[i].index = position(i, launch.block);
  shared_.begin_launch(launch.shared_bytes);
  std::vector<std::size_t> blocks(volume(launch.grid));
  arrange(blocks);
  for (const std::size_t block : blocks) run_block(block);
}

void Machine::run_block(std::size_t block) {
  block_index = position(block, grid_size);
  done_ = 0;
  at_barrier_ = 0;
  waiting_in_warp_.fill(0);
  for (Thread& thread : threads_) {
    thread.state = State::unstarted;
    thread.copies.clear();
    thread.groups = 0;
  }
  shared_.begin_block();
  while (done_ < threads_.size()) {
    arrange(turns_);
    bool progress = false;
    for (cursor_ = 0; cursor_ < turns_.size(); ++cursor_) {
      Thread& thread = threads_[turns_[cursor_]];
      if (thread.state != State::unstarted && thread.state != State::ready) continue;
      if (thread.state == State::unstarted) thread.fibre = take_fibre();
      make_current(turns_[cursor_]);
      progress = true;
      thread.fibre->resume();
      if (!failure_.empty()) fail(failure_);
    }
    if (!progress) fail(stuck());
  }
  if (const std::string broken = shared_.broken_guard(); !broken.empty()) {
    fail("a thread wrote outside the shared array " + broken);
  }
}

void Machine::make_current(std::size_t number) {
  current_ = number;
  thread_index = threads_[number].index;
}

Fibre* Machine::take_fibre() {
  if (idle_.empty()) {
    fibres_.push_back(std::make_unique<Fibre>(work));
    return fibres_.back().get();
  }
  Fibre* fibre = idle_.back();
  idle_.pop_back();
  return fibre;
}

// On a fibre: thread after thread, as long as none has to wait.
void Machine::work() {
  Machine& self = machine();
  for (;;) {
    do {
      self.launch_->run(self.launch_->arguments);
      self.current().state = State::done;
      ++self.done_;
    } while (self.begin_next());
    self.idle_.push_back(self.current().fibre);
    Fibre::suspend();
  }
}

// Makes the next thread of this pass the current one, on the same fibre, if it has not begun yet.
bool Machine::begin_next() {
  if (cursor_ + 1 >= turns_.size()) return false;
  Thread& next = threads_[turns_[cursor_ + 1]];
  if (next.state != State::unstarted) return false;
  next.fibre = current().fibre;
  make_current(turns_[++cursor_]);
  return true;
}

int Machine::block_barrier(Barrier kind, bool predicate, const std::source_location& where) {
  Thread& self = current();
  self.state = State::at_barrier;
  self.operation = "sync_block";
  self.where = where;
  self.predicate = predicate;
  if (++at_barrier_ == threads_.size()) release_barrier(kind);
  Fibre::suspend();
  return barrier_result_;
}

void Machine::release_barrier(Barrier kind) {
  int count = 0;
  for (const Thread& thread : threads_) {
    if (!same_place(thread.where, threads_.front().where)) return;  // stuck() tells
    count += thread.predicate ? 1 : 0;
  }
  for (Thread& thread : threads_) thread.state = State::ready;
  at_barrier_ = 0;
  switch (kind) {
    case Barrier::plain:
    case Barrier::count:
      barrier_result_ = count;
      break;
    case Barrier::any:
      barrier_result_ = count > 0 ? 1 : 0;
      break;
    case Barrier::all:
      barrier_result_ = count == static_cast<int>(threads_.size()) ? 1 : 0;
      break;
  }
}

void Machine::warp_meeting(const char* operation, std::uint32_t mask, void* payload,
                           Combine combine, const std::source_location& where) {
  const int own = lane();
  if ((mask >> own & 1U) == 0) {
    std::ostringstream text;
    text << operation << ": lane " << own << " is not in its own mask 0x" << std::hex << mask;
    stop(text.str(), where);
  }
  Thread& self = current();
  self.state = State::at_warp;
  self.operation = operation;
  self.where = where;
  self.mask = mask;
  self.payload = payload;
  const std::size_t first = current_ - static_cast<std::size_t>(own);
  int& waiting = waiting_in_warp_[first / 32];
  ++waiting;
  bool complete = waiting >= std::popcount(mask);
  void* payloads[32] = {};
  for (std::size_t lane = 0; complete && lane < 32; ++lane) {
    if ((mask >> lane & 1U) == 0) continue;
    const Thread* other = first + lane < threads_.size() ? &threads_[first + lane] : nullptr;
    complete = other != nullptr && other->state == State::at_warp && other->mask == mask &&
               same_place(other->where, where);
    if (complete) payloads[lane] = other->payload;
  }
  if (complete) {
    combine(payloads, mask);
    waiting -= std::popcount(mask);
    for (std::size_t lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1U) threads_[first + lane].state = State::ready;
    }
  }
  Fibre::suspend();
}

// "threads 0-11 wait in sync_block (kernels/cuda/x.cu:55), threads 12-31 have returned"
std::string Machine::stuck() const {
  const auto alike = [](const Thread& a, const Thread& b) {
    if (a.state != b.state || a.state == State::done) return a.state == b.state;
    return same_place(a.where, b.where) && (a.state != State::at_warp || a.mask == b.mask);
  };
  std::ostringstream text;
  text << "divergence:";
  for (std::size_t begin = 0; begin < threads_.size();) {
    const Thread& thread = threads_[begin];
    std::size_t end = begin + 1;
    while (end < threads_.size() && alike(threads_[end], thread)) ++end;
    text << (begin == 0 ? " " : ", ") << (end - begin > 1 ? "threads " : "thread ") << begin;
    if (end - begin > 1) text << "-" << end - 1;
    if (thread.state == State::done) {
      text << (end - begin > 1 ? " have returned" : " has returned");
    } else {
      text << (end - begin > 1 ? " wait in " : " waits in ") << thread.operation << " ("
           << text_of(thread.where);
      if (thread.state == State::at_warp)
        text << ", mask 0x" << std::hex << thread.mask << std::dec;
      text << ")";
    }
    begin = end;
  }
  return text.str();
}

void Machine::stop(const std::string& what, const std::source_location& where) {
  failure_ = what + " at " + text_of(where) + " by thread " + text_of(thread_index);
  for (;;) Fibre::suspend();
}

void Machine::fail(const std::string& what) {
  const std::string sentence =
      "kernel " + launch_->kernel + ", block " + text_of(block_index) + ": " + what;
  // Fibres in the middle of a thread are given up; device code has nothing to destroy.
  idle_.clear();
  fibres_.clear();
  failure_.clear();
  throw EmulatorError(sentence);
}

}  // namespace

void set_order(Order order, std::uint64_t seed) {
  machine().order = order;
  machine().seed = seed;
}

const std::set<std::string>& launched_kernels() { return machine().launched; }

// Threads of the host may launch at the same time; grids run one after the other.
void run(const Launch& launch) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  machine().run(launch);
}

void stop(const std::string& what, const std::source_location& where) {
  machine().stop(what, where);
}

int block_barrier(Barrier kind, bool predicate, const std::source_location& where) {
  return machine().block_barrier(kind, predicate, where);
}

void warp_meeting(const char* operation, std::uint32_t mask, void* payload, Combine combine,
                  const std::source_location& where) {
  machine().warp_meeting(operation, mask, payload, combine, where);
}

int lane_index() { return machine().lane(); }

void* shared_array(const void* tag, const char* name, std::size_t bytes) {
  const SharedMemory::Found found = machine().shared().array(tag, name, bytes);
  if (found.data == nullptr) machine().stop(found.error, std::source_location::current());
  return found.data;
}

void* dynamic_shared() { return machine().shared().dynamic(); }

void copy_async(void* shared, const void* global, std::size_t bytes) {
  Thread& self = machine().current();
  AsyncCopy copy{shared, {}, self.groups};
  std::memcpy(copy.bytes.data(), global, bytes);
  std::memset(shared, 0xFF, bytes);
  self.copies.push_back(copy);
}

void commit_async() { ++machine().current().groups; }

void wait_async(int pending) {
  Thread& self = machine().current();
  const int finished = self.groups - pending;
  auto copy = self.copies.begin();
  for (; copy != self.copies.end() && copy->group < finished; ++copy) {
    std::memcpy(copy->to, copy->bytes.data(), copy->bytes.size());
  }
  self.copies.erase(self.copies.begin(), copy);
}

}  // namespace cardiograd::emulator
