// What a run of several processes does differently, so that the rest reads the same for one process
// and for many. One process is a run of one rank: nothing here then costs anything.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nn/flat_parameters.h"
#include "trainer/communicator.h"
#include "trainer/config.h"
#include "trainer/launch.h"
#include "trainer/signals.h"

namespace cardiograd {

// The ranks of a run, this process's device and its share of the machine's cores.
class Ranks {
 public:
  // Opens the device ("cuda" is the GPU of the local rank), joins the others and limits the threads
  // where the config does not. Throws InputError where launcher and build do not fit, or where the
  // ranks were not given the same config.
  Ranks(const Launch& launch, const RunConfig& config);
  // Of ranks that have found each other.
  Ranks(std::shared_ptr<Backend> backend, std::shared_ptr<Communicator> communicator)
      : backend_(std::move(backend)), communicator_(std::move(communicator)) {}

  const std::shared_ptr<Backend>& backend() const { return backend_; }
  Communicator& communicator() const { return *communicator_; }
  int rank() const { return communicator_->rank(); }
  int size() const { return communicator_->size(); }
  bool alone() const { return size() == 1; }
  // Rank 0 alone writes the run's folder and speaks.
  bool is_first() const { return communicator_->is_first(); }
  // "4 processes, MPI (Open MPI 4.1.4)"; empty for one.
  std::string describe() const;

  // What rank 0 says. The others do not ask `say`.
  std::string from_first(const std::function<std::string()>& say, std::string_view what) const;
  // Throws InputError, the same on all ranks, where they do not hold the same text: it names a rank
  // and the first line that differs. `what`: "configuration".
  void check_same(const std::string& text, const std::string& what) const;
  // Rank 0's values for everybody.
  void broadcast(const std::vector<NamedTensor>& tensors, std::string_view what) const;
  // Returns when all have come: what rank 0 has written by then may be read.
  void meet(std::string_view what) const;
  // From here on rank 0 works alone, for as long as it takes, and the others wait for its end.
  void leave_to_first() const;

 private:
  std::shared_ptr<Backend> backend_;
  std::shared_ptr<Communicator> communicator_;
};

// What a rank may ask of the run, by signal or because a checkpoint is due, so that all ranks act
// on it at the same step. One process tells itself.
class RankExchange {
 public:
  // SIGTERM, SIGINT, SIGUSR1, a checkpoint: 1 where this rank asks for it. Their sums over the
  // ranks say who asks.
  using Asked = std::array<float, 4>;

  explicit RankExchange(const Ranks& ranks) : ranks_(ranks) {}

  // Asks for a checkpoint that a clock says is due, unless that has been asked and not been heard;
  // of rank 0 alone, because clocks differ.
  void ask_for_checkpoint() {
    asks_checkpoint_ = asks_checkpoint_ || !awaits_checkpoint_;
    awaits_checkpoint_ = true;
  }
  // What this rank asks for; SIGUSR1 and checkpoint once.
  Asked take_asked();
  // The sums of what all ranks asked for at one point of their work.
  void hear(std::span<const float> sums);
  // take_asked() and hear() in one, for who has no sum to add it to.
  void share(std::string_view what);

  // What was heard. SIGTERM or SIGINT, the one that came first; 0 while none did.
  int stop_signal() const { return stop_; }
  // Since the last call.
  bool take_save_request() { return std::exchange(save_, false); }
  bool take_checkpoint_request() { return std::exchange(checkpoint_, false); }

 private:
  const Ranks& ranks_;
  SignalScope signals_;
  bool asks_checkpoint_ = false, awaits_checkpoint_ = false;
  int stop_ = 0;
  bool save_ = false;
  bool checkpoint_ = false;
};

// Sums the gradients over the ranks while backward goes on. Buckets start in one order on all
// ranks: that in which backward completed them at rank 0 in the first step, whatever a rank's own
// batch (which may be empty) leads to.
class GradientReduction {
 public:
  // Takes the parameters' on_ready. Both must outlive it.
  GradientReduction(FlatParameters& parameters, const Ranks& ranks);
  GradientReduction(const GradientReduction&) = delete;
  GradientReduction& operator=(const GradientReduction&) = delete;

  // Before the last backward pass of a step. `what`: "the gradients of step 7".
  void begin(std::string what);
  // After backward: what is asked of the backend from now on finds the sums in gradients().
  void finish();

 private:
  struct Bucket {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  void start_ready();
  void agree_on_order();

  FlatParameters& parameters_;
  const Ranks& ranks_;
  std::string what_;
  std::vector<std::int64_t> order_;  // of the buckets' first elements; empty in the first step
  std::vector<Bucket> ready_;        // and not yet started
  std::size_t started_ = 0;
};

}  // namespace cardiograd
