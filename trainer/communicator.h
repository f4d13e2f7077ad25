// What the processes of one run say to each other. Every rank makes the same calls in the same
// order; a call that only some make is found by the time-out. From one thread.
//
// Time-out: a call that waits for other ranks gives up after set_timeout's seconds and throws
// LostRank, one sentence that names the ranks that did not arrive and the operation. After that the
// communicator repeats the sentence for every call: end the process with end_after_error.
//
// Order of sums: of each element, ((x[rank 0] + x[rank 1]) + x[rank 2]) + ..., in the dtype of the
// view, on one process and through MPI; whatever the timing, the number of buckets and their
// borders, and the same bits on every rank. Between GPUs the order is NCCL's: fixed for one
// number of ranks, one kind of machine and one bucket layout, and the same bits on every rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.h"
#include "kernels/view.h"
#include "trainer/launch.h"

namespace cardiograd {

class Backend;

// Ranks that did not arrive, or ranks that are out of step. Exit code: exit_lost_rank.
class LostRank : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

class Communicator {
 public:
  using Bytes = std::vector<std::byte>;
  using Ticket = std::uint64_t;

  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  int rank() const { return launch_.rank; }
  int size() const { return launch_.size; }
  int local_rank() const { return launch_.local_rank; }
  int local_size() const { return launch_.local_size; }
  bool is_first() const { return launch_.is_first(); }
  // "one process", "MPI (Open MPI 4.1.4)", "NCCL 2.28.9 with MPI (Open MPI 4.1.4)".
  virtual std::string name() const = 0;

  // Seconds that a call waits for the other ranks, run.timeout_seconds; above 0.
  double timeout() const { return timeout_seconds_; }
  virtual void set_timeout(double seconds);

  // `what` of the calls below completes "did not arrive at ...": "the gradients of step 12".

  // -- Memory of the run's backend: host memory for "cpu", device memory for a GPU.

  // Begins to replace the view by its sum over the ranks: f32, f64, on GPUs bf16 too (ShapeError
  // else); the view has one shape on all ranks. Nobody may touch its memory until the ticket
  // is waited for. Several may be under way. On a GPU: after everything asked of the backend so
  // far, beside what is asked of it next, and without waiting on the host: may be captured.
  virtual Ticket start_all_reduce_sum(const View& view, std::string_view what) = 0;
  // Returns when the view holds the sum; on a GPU, when what is asked of the backend from now on
  // finds it there. A ticket may be waited for again, and is free after wait_all.
  virtual void wait(Ticket ticket) = 0;
  virtual void wait_all() = 0;
  void all_reduce_sum(const View& view, std::string_view what);
  // Waits on the host until the backend has done all that it was asked for, other ranks' parts
  // included, with the time-out: on a GPU call it before results are read (copy_to_host has no
  // time-out of its own). On a CPU it is wait_all.
  virtual void finish(std::string_view what) = 0;
  // The same for a part of it, which is there when done() says so (LaterValues::ready). Where
  // nothing is done later than it is asked for, done() must be true.
  virtual void wait_until(const std::function<bool()>& done, std::string_view what);

  // Host memory, all zeros, whose views all_reduce_sum adds up without messages: the ranks of one
  // machine reach into each other's. As many bytes on all ranks. Null where there is none (GPUs,
  // several machines, one process, memory is short): any memory does as well, more slowly.
  virtual std::shared_ptr<void> shared_memory(std::size_t bytes, std::string_view what);
  // Where all ranks, in their order, have what this one has in that memory at `view`; nothing for
  // other views. What one rank writes at another's place is there after a barrier.
  virtual std::vector<View> places_of(const View& view) const;

  // -- Host memory.

  // What every rank gave, in rank order; lengths may differ and may be 0.
  virtual std::vector<Bytes> all_gather_bytes(std::span<const std::byte> bytes,
                                              std::string_view what) = 0;
  // The same on rank 0; nothing on the others.
  virtual std::vector<Bytes> gather_bytes(std::span<const std::byte> bytes,
                                          std::string_view what) = 0;
  // Rank 0's bytes on every rank, whatever length the others' had.
  virtual void broadcast_bytes(Bytes& bytes, std::string_view what) = 0;

  // Of values on the host, in rank order (f64); as many on all ranks, or ShapeError.
  void sum(std::span<double> values, std::string_view what);
  // Logical or, logical and: whether a signal reached any rank, whether all hold the same.
  bool any(bool mine, std::string_view what);
  bool all(bool mine, std::string_view what);
  // Returns when every rank has called it.
  void barrier(std::string_view what);

  // -- For a communicator that stands on this one: who of the others waits as well. A rank that
  //    waits answers the others' calls; silent_ranks asks all and returns those that did not
  //    answer within `seconds`. Without a way to ask: nothing.
  virtual void answer_calls() {}
  virtual std::vector<int> silent_ranks(double seconds);

 protected:
  Communicator(const Launch& launch, double timeout_seconds);

  Launch launch_;
  double timeout_seconds_ = 300.0;
};

inline constexpr double default_timeout_seconds = 300.0;

// One process where launch.alone(); MPI for a CPU backend (nullptr is one); NCCL for a GPU one,
// its host side through MPI under mpirun and srun, else by NCCL's own bootstrap at
// launch.master_address. Starts MPI (once a process; ended at exit) and is collective. Throws
// InputError where the launcher and the build do not fit: several processes never run apart.
std::shared_ptr<Communicator> make_communicator(const Launch& launch,
                                                const std::shared_ptr<Backend>& backend,
                                                double timeout_seconds = default_timeout_seconds);

// Threads for this rank: OMP_NUM_THREADS where it is set, else its fair share of the machine
// (fair_thread_count). Collective. For limit_threads.
int thread_count(Communicator& communicator);

// For main, after an error: prints "PROGRAM: SENTENCE", or "PROGRAM: rank 2: SENTENCE" with
// several ranks, and ends all ranks; the same sentence of several ranks is printed once, by the
// first of them. Returns exit_code for main to return where this process is alone or MPI does
// not run; else it does not return, and mpirun's exit code is exit_code too.
int end_after_error(const Launch& launch, const std::string& program, const std::string& sentence,
                    int exit_code);

// The LostRank sentence. `waited`: in seconds, the time-out.
std::string lost_rank_sentence(const std::vector<int>& missing, std::string_view what,
                               double waited);

}  // namespace cardiograd
