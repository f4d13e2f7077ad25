// The execution emulator: runs kernels on the host, thread for thread. What kernels themselves call
// is in device.h; this is for the tests and for what device.h is made of.
//
// A block's threads run one at a time, each until it waits at a barrier or a warp operation, then
// the next. A thread that never waits runs as a plain call, without a stack of its own. Because a
// whole stretch between two barriers runs before the next thread's, a barrier that is missing shows
// as a wrong result in one of the orders, unless it guards values that happen to be equal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <source_location>
#include <string>

#include "kernels/error.h"

namespace cardiograd::emulator {

// A kernel that did what a GPU would punish or leave undefined. The sentence names kernel and
// block.
class EmulatorError : public Error {
 public:
  using Error::Error;
};

// In which order the threads of a block, and the blocks of a grid, take their turns.
enum class Order : std::uint8_t { ascending, descending, shuffled };
void set_order(Order order, std::uint64_t seed = 1);

// The names of all kernels launched so far in this process.
const std::set<std::string>& launched_kernels();

// ---- For device.h -------------------------------------------------------------------------------

struct Dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;

  constexpr Dim3() = default;
  constexpr Dim3(unsigned xs, unsigned ys = 1, unsigned zs = 1)  // NOLINT: as CUDA's dim3
      : x(xs), y(ys), z(zs) {}
};

// Of the thread that runs now.
extern Dim3 thread_index;
extern Dim3 block_index;
extern Dim3 block_size;
extern Dim3 grid_size;

struct Launch {
  std::string kernel;
  Dim3 grid;
  Dim3 block;
  std::size_t shared_bytes = 0;
  void (*run)(const void* arguments) = nullptr;  // one thread
  const void* arguments = nullptr;
};

// Runs a whole grid. Throws EmulatorError.
void run(const Launch& launch);

// Stops the kernel with an EmulatorError out of run.
[[noreturn]] void stop(const std::string& what, const std::source_location& where);

enum class Barrier : std::uint8_t { plain, count, any, all };
int block_barrier(Barrier kind, bool predicate, const std::source_location& where);

// Waits until every lane of `mask` has come to the same operation at the same place, then has
// `combine` called once with the payload of each lane (null outside the mask).
using Combine = void (*)(void* const (&payloads)[32], std::uint32_t mask);
void warp_meeting(const char* operation, std::uint32_t mask, void* payload, Combine combine,
                  const std::source_location& where);
int lane_index();

// The same memory for every thread of a block, filled with NaN before its first thread.
void* shared_array(const void* tag, const char* name, std::size_t bytes);
void* dynamic_shared();

// cp.async: the copy happens at the wait; until then `shared` holds NaN.
void copy_async(void* shared, const void* global, std::size_t bytes);
void commit_async();
void wait_async(int pending);

}  // namespace cardiograd::emulator
